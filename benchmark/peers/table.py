"""The one table of a comparison: systems side by side, each against the first by the tasks of both. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from atlas.contracts import Contract
from benchmark.peers.store import ComparisonFile, PeerRecord
from benchmark.statistics import PairedDifference, Replicate, Submission, paired_difference, wilson_interval

WIDTH = 110


class SystemResult(Contract):
    """One row. Tokens and seconds are means over the n tasks with a result.

    `errors` have no result and are in no figure. `no_program`: tasks it handed in nothing for, which failed.
    `budget_spent`: tasks on which a call was refused for want of tokens (ATLAS makes none such). `paired`:
    this system minus the reference, on the tasks with a result of both.
    """

    system: str
    n: int
    passed: int
    pass_rate: float | None
    interval: tuple[float, float] | None
    tokens_out_per_task: float | None
    tokens_in_per_task: float | None
    seconds_per_task: float | None
    most_tokens_out: int
    no_program: int
    budget_spent: int
    errors: int
    paired: PairedDifference | None


class PeersResult(Contract):
    """The result of a comparison, as its last line of JSON says it. `reference`: the first of the systems."""

    dataset: str
    model: str | None
    tasks: int
    token_budget: int
    seed: int
    grader: str
    reference: str
    systems: tuple[SystemResult, ...]
    errors: int
    complete: bool
    run_id: str
    directory: str


def summarise(
    directory: Path, file: ComparisonFile, records: Iterable[PeerRecord], systems: Sequence[str]
) -> PeersResult:
    """Sum up the records of these systems; the first is the reference."""
    by_system: dict[str, dict[str, PeerRecord]] = {name: {} for name in systems}
    for record in records:
        if record.system in by_system:
            by_system[record.system][record.task] = record
    reference = systems[0]
    rows = [
        _row(name, by_system[name].values(), None if name == reference else by_system[reference].values())
        for name in systems
    ]
    asked = file.comparison
    return PeersResult(
        dataset=asked.dataset,
        model=file.model,
        tasks=len(asked.tasks),
        token_budget=asked.token_budget,
        seed=asked.seed,
        grader=asked.grader,
        reference=reference,
        systems=tuple(rows),
        errors=sum(row.errors for row in rows),
        complete=all(row.n == len(asked.tasks) for row in rows),
        run_id=directory.name,
        directory=str(directory),
    )


def _row(name: str, records: Collection[PeerRecord], others: Iterable[PeerRecord] | None) -> SystemResult:
    graded = [record for record in records if record.outcome != "error"]
    n, passed = len(graded), sum(record.outcome == "passed" for record in graded)
    low_high = wilson_interval(passed, n) if n else None

    def mean(values: Iterable[float]) -> float | None:
        return round(sum(values) / n, 2) if n else None

    return SystemResult(
        system=name,
        n=n,
        passed=passed,
        pass_rate=round(passed / n, 4) if n else None,
        interval=(round(low_high.low, 4), round(low_high.high, 4)) if low_high else None,
        tokens_out_per_task=mean(record.usage.tokens_out for record in graded),
        tokens_in_per_task=mean(record.usage.tokens_in for record in graded),
        seconds_per_task=mean(record.seconds for record in graded),
        most_tokens_out=max((record.usage.tokens_out for record in graded), default=0),
        no_program=sum(record.program is None for record in graded),
        budget_spent=sum(record.budget_spent for record in graded),
        errors=len(records) - n,
        paired=None if others is None else _paired(records, others),
    )


def _paired(records: Iterable[PeerRecord], others: Iterable[PeerRecord]) -> PairedDifference | None:
    """Return the difference to the reference's `others`; None where no task has a result of both."""
    ours, theirs = _results(records), _results(others)
    if not ours.keys() & theirs.keys():
        return None
    return paired_difference([Replicate(theirs)], [Replicate(ours)])


def _results(records: Iterable[PeerRecord]) -> dict[str, Submission]:
    return {
        record.task: Submission(record.outcome == "passed", record.usage.tokens_out)
        for record in records
        if record.outcome != "error"
    }


def drawn(result: PeersResult) -> Table:
    """Draw the table, for `WIDTH` columns or more."""
    table = Table(
        title=f"{result.dataset} / {result.model or 'no model'} / "
        f"{result.token_budget:,} generated tokens a task / seed {result.seed}",
        title_justify="left",
        caption=f"means per task; 95% intervals, in percent; differences to {result.reference} on the same "
        f"tasks, McNemar's p; {result.grader} checker; {'' if result.complete else 'not '}complete",
        caption_justify="left",
        padding=(0, 1),
    )
    for name in ("system", "n", "passed", "tokens", "seconds", "difference", "note"):
        right = name in ("n", "tokens", "seconds")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "note")
    for row in result.systems:
        table.add_row(*map(escape, _cells(row)))
    return table


def _cells(row: SystemResult) -> Iterable[str]:
    yield row.system
    yield str(row.n)
    if row.pass_rate is None or row.interval is None:
        yield ""
    else:
        yield f"{row.pass_rate:.1%} [{100 * row.interval[0]:.0f}, {100 * row.interval[1]:.0f}]"
    yield "" if row.tokens_out_per_task is None else f"{row.tokens_out_per_task:,.0f}"
    yield "" if row.seconds_per_task is None else f"{row.seconds_per_task:.1f}"
    if row.paired is None:
        yield ""
    else:
        low, high = row.paired.interval
        points = f"[{100 * low:+.0f}, {100 * high:+.0f}]"
        yield f"{row.paired.difference:+.1%} {points}, p {row.paired.p_value:.2g}"
    said = [f"{row.no_program} without a program" if row.no_program else ""]
    said += [f"{row.budget_spent} ran out of tokens" if row.budget_spent else ""]
    said += [f"{row.errors} errors" if row.errors else ""]
    yield "; ".join(filter(None, said))
