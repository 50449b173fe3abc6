"""The headline and the rates beside it, each under a name of its own that says what it is not.

The headline is one submission per task, chosen before any hidden test ran, graded once (DESIGN.md, promise
2). Everything else here answers another question, on the same tasks, from the grades of all candidates
(`benchmark.regrade`). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from atlas.contracts import Candidate, Contract, SamplingParams
from atlas.policy import Policy
from benchmark.drawn import Drawn
from benchmark.grades import Program, ProgramGrade
from benchmark.results import RunResults, TaskResult, program_sha256
from benchmark.statistics import Interval, bootstrap_mean, pass_at_k, wilson_interval

K = (1, 2, 3, 4, 8, 16, 32, 64)
UPSTREAM_K = 3
NOT_REGRADED = "no task has grades of all its programs: python -m benchmark.regrade"

HEADLINE = "the one submission of each task, chosen before any hidden test ran, graded once: the headline"
NOT_ODD = "the headline without the tasks known to be odd (benchmark/datasets/oddities.toml)"
STRICT = "the same submissions by the strict checker, without the tasks that it leaves out as odd"
PUBLIC_SELECTED = (
    "chosen by the public examples alone, k = {k}: of the first k candidates the first that passes them all, "
    "else the first; no repair, energy or vote. One program per task, but not the one that was handed in"
)
ORACLE = (
    "the chance that k = {k} plain samples hold a right one, if an oracle with the hidden tests chose: "
    "an upper bound on any choice among them, which nobody who gets one program sees"
)
UPSTREAM = (
    "what upstream's runner would have counted: any of the first 3 candidates, or any repair, that passes "
    "the public examples. No hidden test is asked: not a pass rate, and not comparable with one"
)


class Metric(Contract):
    """One rate. `what` says what it is and is not.

    `n` tasks are in it; `left_out` have a result and are not, because a grade or journal is missing or the
    rate is not defined for them. `short` of the n had fewer candidates than `k`, none of them good enough to
    stop at. `interval` is Wilson's at 95%, or the bootstrap's by task where a task's value is no yes or no.
    """

    name: str
    what: str
    k: int | None = None
    n: int
    rate: float
    interval: Interval
    left_out: int = 0
    short: int = 0


class Protocol(Contract):
    """All metrics of a run, the headline first. `not_given`: those that would mislead here, and why."""

    metrics: tuple[Metric, ...]
    not_given: dict[str, str]


@dataclass(frozen=True)
class _Graded:
    """A task with all that is asked of it: what it drew, and how each of it fares."""

    drawn: Drawn
    grades: Mapping[str, ProgramGrade]

    def passes(self, candidate: Candidate) -> bool:
        grade = self._grade(candidate)
        return grade is not None and grade.official.passed is True

    def passes_examples(self, candidate: Candidate) -> bool:
        grade = self._grade(candidate)
        return grade is not None and grade.passes_examples(self.drawn.examples)

    def _grade(self, candidate: Candidate) -> ProgramGrade | None:
        return None if candidate.code is None else self.grades[program_sha256(candidate.code)]


def protocol(
    run: RunResults,
    grades: Mapping[Program, ProgramGrade],
    draws: Iterable[Drawn],
    odd: Callable[[str], bool] = lambda _: False,
    strict_leaves_out: Callable[[str], bool] = lambda _: False,
) -> Protocol:
    """Work out every metric that the run's grades allow.

    Args:
        run: its results; tasks that ended in `error` are in no metric.
        grades: of all programs; a task with a program that has no settled grade is left out where it counts.
        draws: what each task drew; tasks without are left out where it counts.
        odd: whether a task is known to be odd.
        strict_leaves_out: whether it is odd in a way that the strict rate leaves it out for.

    """
    if not run.n:
        return Protocol(metrics=(), not_given={"headline": "no task has a result"})
    whole = _whole(draws, grades, {result.task for result in run.graded})
    beside = {
        "public_selected": _public_selected(run, whole),
        "upstream_pass_1_v_k3": _upstream(run, whole),
        "oracle_pass": _oracle(run, whole),
    }
    metrics = _submissions(run, grades, odd, strict_leaves_out)
    metrics += [metric for found in beside.values() if not isinstance(found, str) for metric in found]
    not_given = {name: found for name, found in beside.items() if isinstance(found, str)}
    return Protocol(metrics=tuple(metrics), not_given=not_given)


def _whole(draws: Iterable[Drawn], grades: Mapping[Program, ProgramGrade], wanted: set[str]) -> list[_Graded]:
    """The tasks of which every candidate has a settled grade."""
    found = []
    for each in draws:
        if each.task not in wanted or not each.candidates:
            continue
        names = {program_sha256(c.code) for c in each.candidates if c.code is not None}
        own = {name: grades.get(Program(each.task, name)) for name in names}
        settled = {name: grade for name, grade in own.items() if grade is not None and grade.settled}
        if len(settled) == len(names):
            found.append(_Graded(each, settled))
    return found


def _submissions(
    run: RunResults,
    grades: Mapping[Program, ProgramGrade],
    odd: Callable[[str], bool],
    strict_leaves_out: Callable[[str], bool],
) -> list[Metric]:
    """The headline, without odd tasks, and by the strict checker."""
    found = [_counted("headline", HEADLINE, [task.passed for task in run.graded], run.n)]
    plain = [task.passed for task in run.graded if not odd(task.task)]
    found += [_counted("headline_without_odd_tasks", NOT_ODD, plain, run.n)] if plain else []
    kept = [result for result in run.graded if not strict_leaves_out(result.task)]
    by_strict = [passed for result in kept if (passed := _strictly(result, grades)) is not None]
    found += [_counted("strict", STRICT, by_strict, run.n)] if by_strict else []
    return found


def _strictly(result: TaskResult, grades: Mapping[Program, ProgramGrade]) -> bool | None:
    """Whether a submission passes by the strict checker; None if nobody has asked."""
    if result.program_sha256 is None:
        return False
    grade = grades.get(Program(result.task, result.program_sha256))
    return grade.strict.passed if grade else None


def _public_selected(run: RunResults, tasks: Sequence[_Graded]) -> list[Metric] | str:
    if not tasks:
        return NOT_REGRADED
    found = []
    most = max(len(task.drawn.first_draws) for task in tasks)
    for k in (k for k in K if k <= most):
        passed, short = [], 0
        for task in tasks:
            first = task.drawn.first_draws[:k]
            good = next((each for each in first if task.passes_examples(each)), None)
            chosen = good or next(iter(first), None)
            passed.append(chosen is not None and task.passes(chosen))
            short += good is None and len(first) < k
        what = PUBLIC_SELECTED.format(k=k)
        found.append(_counted(f"public_selected@{k}", what, passed, run.n, k=k, short=short))
    return found


def _upstream(run: RunResults, tasks: Sequence[_Graded]) -> list[Metric] | str:
    if not tasks:
        return NOT_REGRADED
    with_examples = [task for task in tasks if task.drawn.examples]
    if not with_examples:
        return "no task has public examples"
    passed, short = [], 0
    for task in with_examples:
        first = task.drawn.first_draws[:UPSTREAM_K]
        repairs = [each for each in task.drawn.candidates if each.origin == "repair"]
        passed.append(any(map(task.passes_examples, (*first, *repairs))))
        short += not passed[-1] and len(first) < UPSTREAM_K
    return [_counted("upstream_pass_1_v_k3", UPSTREAM, passed, run.n, k=UPSTREAM_K, short=short)]


def _oracle(run: RunResults, tasks: Sequence[_Graded]) -> list[Metric] | str:
    """Give oracle pass@k, unbiased, over samples that nothing but their seed tells apart."""
    reason = _not_exchangeable(run.policy)
    if reason or not tasks:
        return reason or NOT_REGRADED
    drawn_alike = [(task, _alike(task.drawn)) for task in tasks]
    alike = [(task, samples) for task, samples in drawn_alike if samples]
    if not alike:
        return "no task drew plain samples"
    counts = [(len(samples), sum(map(task.passes, samples))) for task, samples in alike]
    found = []
    for k in (k for k in K if k <= max(n for n, _ in counts)):
        values = [pass_at_k(n, right, k) for n, right in counts if n >= k]
        found.append(
            Metric(
                name=f"oracle_pass@{k}",
                what=ORACLE.format(k=k),
                k=k,
                n=len(values),
                rate=sum(values) / len(values),
                interval=bootstrap_mean(values, (0.0, 1.0)),
                left_out=run.n - len(values),
            )
        )
    return found


def _not_exchangeable(policy: Policy) -> str:
    """Say why the number of a policy's samples depends on how they turned out; "" if it does not."""
    if policy.k > 1 and policy.execute and policy.stop_after_passing:
        return (
            "the policy stops drawing once a sample passes the public examples, so how many there are "
            "depends on how they turned out, and no unbiased estimate is possible; record a pool that does "
            "not stop (stop_after_passing = 0)"
        )
    if policy.k > 1 and policy.temperature == 0:
        return "at temperature 0 all samples are the same one"
    return ""


def _alike(drawn: Drawn) -> list[Candidate]:
    """The plain samples with the first's parameters, seeds aside (a budget nearly spent cuts the last)."""
    samples = [each for each in drawn.candidates if each.origin == "sample"]

    def parameters(candidate: Candidate) -> SamplingParams:
        return candidate.sampling.model_copy(update={"seed": 0})

    return [each for each in samples if parameters(each) == parameters(samples[0])]


def _counted(
    name: str, what: str, passed: Sequence[bool], of: int, *, k: int | None = None, short: int = 0
) -> Metric:
    return Metric(
        name=name,
        what=what,
        k=k,
        n=len(passed),
        rate=sum(passed) / len(passed),
        interval=wilson_interval(sum(passed), len(passed)),
        left_out=of - len(passed),
        short=short,
    )
