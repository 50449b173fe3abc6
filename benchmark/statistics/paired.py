"""Two conditions on the same tasks: the difference of their pass rates, its interval, and its p-value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from scipy.stats import binomtest

from atlas.contracts import Contract
from benchmark.statistics.rates import Interval, wilson_interval
from benchmark.statistics.resampling import RESAMPLES, bootstrap_mean, sign_flip


class Submission(NamedTuple):
    """The one program of one task: whether it passed, and the tokens generated until it was handed in."""

    passed: bool
    tokens: int = 0


class Replicate(NamedTuple):
    """One run of a condition: results by task id. Errors are no results and are left out."""

    results: Mapping[str, Submission]
    model: str = ""
    seed: int = 0


class Rate(Contract):
    """A pass rate over `n` tasks; `method` of its interval: Wilson's for one run, by task for several.

    `rate` is the mean over tasks of the mean over models of the mean over seeds. `left_out` tasks have no
    result in some of the runs. `confidence` is that of the interval.
    """

    n: int
    left_out: int
    rate: float
    interval: Interval
    method: Literal["wilson", "bootstrap"]
    confidence: float


class PairedDifference(Contract):
    """b minus a, on the n tasks that every run of both has a result for; `left_out` have one in some only.

    `a_only` and `b_only` count tasks whose mean result is higher under a and under b: with one run each,
    those that just one of them passed. `both` are passed in every run, `neither` in none; the rest is tied in
    between. `p_value` is two-sided and exact: McNemar's for one run each, else by flipping signs of whole
    tasks, which says the same where both can be had. `sd` is the tasks' differences' standard deviation.
    """

    n: int
    left_out: int
    rate_a: float
    rate_b: float
    difference: float
    interval: Interval
    confidence: float
    p_value: float
    test: Literal["mcnemar", "sign_flip"]
    a_only: int
    b_only: int
    both: int
    neither: int
    sd: float
    resamples: int
    seed: int

    @property
    def discordance(self) -> float:
        """Share of tasks on which the two differ."""
        return (self.a_only + self.b_only) / self.n


def mcnemar(a_only: int, b_only: int) -> float:
    """Exact two-sided p-value of McNemar's test: tasks that only a, and only b, passed; 1 if there are none.

    Under "no difference" each of the discordant tasks is as likely one way as the other: a binomial test.
    Source: Q. McNemar, Psychometrika 12 (1947) 153-157; exact: F. Mosteller, Biometrics 8 (1952) 220-226.

    Raises:
        ValueError: a count is negative.
    """
    if a_only < 0 or b_only < 0:
        raise ValueError(f"counts cannot be negative: a_only={a_only}, b_only={b_only}")
    if not a_only + b_only:
        return 1.0
    return float(binomtest(a_only, a_only + b_only, 0.5).pvalue)


def pooled_rate(runs: Sequence[Replicate], *, confidence: float = 0.95, seed: int = 0) -> Rate:
    """Return a condition's pass rate over all its runs (seeds, models), with tasks as the unit.

    Raises:
        ValueError: there are no runs, or no task has a result in all of them.
    """
    tasks = common_tasks(runs)
    scores = [_score(runs, task) for task in tasks]
    rate = float(sum(scores) / len(scores))
    if len(runs) == 1:
        passed = sum(runs[0].results[task].passed for task in tasks)
        interval = wilson_interval(passed, len(tasks), confidence)
    else:
        interval = bootstrap_mean(list(map(float, scores)), (0.0, 1.0), confidence=confidence, seed=seed)
    return Rate(
        n=len(tasks),
        left_out=_left_out(runs, tasks),
        rate=rate,
        interval=interval,
        method="wilson" if len(runs) == 1 else "bootstrap",
        confidence=confidence,
    )


def paired_difference(
    a: Sequence[Replicate],
    b: Sequence[Replicate],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Compare two conditions, each run once or with several seeds and models, task by task.

    A task's difference is the mean over models of (mean over b's seeds - mean over a's seeds): models are
    paired, seeds are not, since the same seed gives two conditions unrelated samples. Tasks are the unit of
    the bootstrap and of the test, each with all its runs, so more seeds sharpen a task's value and never
    count as more tasks.

    Raises:
        ValueError: a side has no run, the sides' models differ, or no task has a result in every run.
    """
    models = {run.model for run in a}, {run.model for run in b}
    if models[0] != models[1]:
        one_sided = ", ".join(sorted(models[0] ^ models[1]))
        raise ValueError(f"conditions are compared on the same models; only one side has: {one_sided}")
    tasks = common_tasks([*a, *b])
    scores = [(_score(a, task), _score(b, task)) for task in tasks]
    differences = [y - x for x, y in scores]
    n = len(tasks)
    mean = sum(differences, Fraction(0)) / n
    variance = sum(((d - mean) ** 2 for d in differences), Fraction(0)) / n
    a_only, b_only = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
    single = len(a) == len(b) == 1
    return PairedDifference(
        n=n,
        left_out=_left_out([*a, *b], tasks),
        rate_a=float(sum(x for x, _ in scores) / n),
        rate_b=float(sum(y for _, y in scores) / n),
        difference=float(mean),
        interval=bootstrap_mean(
            list(map(float, differences)), (-1.0, 1.0), confidence=confidence, resamples=resamples, seed=seed
        ),
        confidence=confidence,
        p_value=mcnemar(a_only, b_only) if single else sign_flip(differences),
        test="mcnemar" if single else "sign_flip",
        a_only=a_only,
        b_only=b_only,
        both=sum(x == y == 1 for x, y in scores),
        neither=sum(x == y == 0 for x, y in scores),
        sd=float(variance) ** 0.5,
        resamples=resamples,
        seed=seed,
    )


def common_tasks(runs: Sequence[Replicate]) -> list[str]:
    """Return the tasks with a result in every run, in order.

    Raises:
        ValueError: there are no runs, or no such task.
    """
    if not runs:
        raise ValueError("there is no run")
    everywhere = set(runs[0].results).intersection(*(run.results for run in runs))
    if not everywhere:
        raise ValueError("no task has a result in every run")
    return sorted(everywhere)


def _left_out(runs: Sequence[Replicate], tasks: Sequence[str]) -> int:
    """How many tasks have a result in some of the runs only."""
    return len(set().union(*(run.results for run in runs))) - len(tasks)


def _score(runs: Sequence[Replicate], task: str) -> Fraction:
    """Return the mean over models of the mean over their runs."""
    by_model: dict[str, list[bool]] = {}
    for run in runs:
        by_model.setdefault(run.model, []).append(run.results[task].passed)
    means = [Fraction(sum(passed), len(passed)) for passed in by_model.values()]
    return sum(means, Fraction(0)) / len(means)
