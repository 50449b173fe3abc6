"""What a run comes to: one table for people, one JSON object for programs. Pure but for the printing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from atlas.checkers import Checker
from atlas.contracts import Contract, Usage
from atlas.policy import Part, missing
from benchmark.conditions import lacks
from benchmark.run_store import RunStore, TaskRecord
from benchmark.statistics import wilson_interval


class RunSummary(Contract):
    """The result of a run, as its last line of JSON says it.

    `missing` names the parts of the condition that it ran without. `n` counts tasks with a result (passed +
    failed); `errors` are tasks without one, because machinery failed, and are in no rate. `interval` is
    Wilson's 95% interval of passed/n, null when n is 0. Tokens are those of the n tasks, `tokens_late`
    included in none of the others; `tokens_error` were spent on attempts that ended in `error`. `seconds` is
    the time during which at least one task was being worked on, in this session or an earlier one. The three
    shares are of the tasks' own time from submission to decision, grading not included: `overhead_share` is
    what neither llama-server nor the executor accounts for. They are over the `timed` tasks that were watched
    from beginning to end, and mean little at a concurrency above 1. `abstained` of the n tasks handed back no
    program, because its confidence was too low: they are not passed. `selective` is passed over the others,
    null where none abstained.
    """

    dataset: str
    condition: str
    missing: tuple[Part, ...]
    model: str | None
    n: int
    passed: int
    errors: int
    interval: tuple[float, float] | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    seconds: float
    overhead_share: float | None
    run_dir: str
    run_id: str
    seed: int
    grader: Checker
    tokens_late: int
    tokens_error: int
    model_share: float | None
    executor_share: float | None
    timed: int
    abstained: int = 0
    selective: float | None = None


def summarise(store: RunStore, tasks: Iterable[str]) -> RunSummary:
    """Sum up the records of these tasks."""
    records = [store.records[task] for task in tasks if task in store.records]
    graded = [record for record in records if record.outcome != "error"]
    views = [record.view for record in graded if record.view]
    usage = sum((view.usage for view in views), Usage())
    passed = sum(record.outcome == "passed" for record in graded)
    abstained = sum(view.status == "abstained" for view in views)
    timed = [record.view for record in graded if record.view and record.watched]
    solving_s = sum(view.seconds for view in timed)
    model_share = _share(sum(view.model_s for view in timed), solving_s)
    executor_share = _share(sum(view.executor_s for view in timed), solving_s)
    overhead_share = _share(
        solving_s - sum(view.model_s + view.executor_s for view in timed),
        solving_s,
    )
    low_high = wilson_interval(passed, len(graded)) if graded else None
    return RunSummary(
        dataset=store.configuration.dataset,
        condition=store.configuration.condition,
        missing=_missing(store),
        model=store.pins.model if store.pins else None,
        n=len(graded),
        passed=passed,
        errors=len(records) - len(graded),
        interval=(round(low_high.low, 4), round(low_high.high, 4)) if low_high else None,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        tokens_cached=usage.tokens_cached,
        seconds=round(_union([(record.started_at, record.finished_at) for record in records]), 3),
        overhead_share=overhead_share,
        run_dir=str(store.directory),
        run_id=store.run_id,
        seed=store.configuration.seed,
        grader=store.configuration.grader,
        tokens_late=sum(view.late_tokens for view in views),
        tokens_error=sum(map(_spent_in_vain, records)),
        model_share=model_share,
        executor_share=executor_share,
        timed=len(timed),
        abstained=abstained,
        selective=_share(passed, len(graded) - abstained) if abstained else None,
    )


def _missing(store: RunStore) -> tuple[Part, ...]:
    if store.policy is None:
        return ()
    if store.pins is None:
        return missing(store.policy)
    return missing(store.policy, store.pins.lens_weights, thinks=store.pins.thinks)


def table(result: RunSummary) -> Table:
    """Draw the report."""
    drawn = Table(
        title=f"{result.dataset} / {result.condition} / {result.model or 'no model'} / seed {result.seed}",
        show_header=False,
        title_justify="left",
        min_width=48,
    )
    for label, value in _rows(result):
        drawn.add_row(label, value)
    return drawn


def _rows(result: RunSummary) -> Iterable[tuple[str, str]]:
    yield "tasks graded (n)", str(result.n)
    yield "passed", str(result.passed)
    if result.interval:
        low, high = result.interval
        yield "pass rate, Wilson 95%", f"{result.passed / result.n:.1%}  [{low:.1%}, {high:.1%}]"
    if result.abstained:
        answered = result.n - result.abstained
        rate = f" ({result.selective:.1%})" if result.selective is not None else ""
        yield (
            "abstained",
            f"{result.abstained}; passed of those answered: {result.passed} of {answered}{rate}",
        )
    yield "errors (no result)", str(result.errors) + ("; the same --run-id retries" if result.errors else "")
    yield (
        "tokens in / cached / out",
        f"{result.tokens_in:,} / {result.tokens_cached:,} / {result.tokens_out:,}",
    )
    if result.tokens_late:
        yield "tokens that came late", f"{result.tokens_late:,}"
    if result.tokens_error:
        yield "tokens of errors", f"{result.tokens_error:,}"
    yield "wall time", duration(result.seconds)
    done = result.n + result.errors
    if done:
        yield "seconds per task", f"{result.seconds / done:.1f}"
    if result.overhead_share is not None:
        shares = (result.model_share or 0.0, result.executor_share or 0.0, result.overhead_share)
        yield "model / executor / overhead", " / ".join(f"{share:.1%}" for share in shares)
    if result.missing:
        yield "part of it missing", lacks(result.missing)
    yield "graded by", f"{result.grader} checker"
    yield "run", result.run_id


def duration(seconds: float) -> str:
    """Write a time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole > 0 else None


def _spent_in_vain(record: TaskRecord) -> int:
    attempts = [attempt.usage for attempt in record.earlier]
    if record.outcome == "error" and record.view:
        attempts.append(record.view.usage)
    return sum(usage.tokens_in + usage.tokens_out for usage in attempts)


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Length of the union of time spans."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
