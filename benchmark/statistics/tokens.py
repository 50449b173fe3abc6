"""Conditions at the same number of generated tokens, and accuracy as a function of them.

**What counts as solved at T tokens.** A task counts as solved at T only if the one program it ended with is
right *and* was handed in after at most T generated tokens, all calls of the task counted (plans, thinking,
samples, repairs; prompts are not generated). So a condition is charged for all it spent, and gets nothing for
a right program that it held but had not yet chosen. Read off a finished run, this is what the policy as it
was run had handed in by T, not what it would have done had it known T: a lower bound of the policy that is
told its budget. For a policy with a hard budget B (`Policy.token_budget`), T = B is exactly its own pass
rate, and beyond B its curve stays flat: it does not spend more. Compare two policies that have the same hard
budget at that budget, and nothing of this lower bound is left.

Tokens of calls that ended after the decision (`tokens_late`) and of attempts that ended in `error` are in
none of this; a report shows them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atlas.contracts import Contract
from benchmark.statistics.paired import PairedDifference, Replicate, common_tasks, paired_difference
from benchmark.statistics.rates import Interval, check_confidence
from benchmark.statistics.resampling import RESAMPLES

CHUNK = 500  # resamples held in memory at once
MOST_POINTS = 200


class EqualTokens(Contract):
    """Two conditions at `tokens` generated tokens per task.

    `mean_a` and `mean_b`: tokens spent per task up to there. `cut_a` and `cut_b`: the share of results whose
    program came later and so counts as not solved, whatever it is.
    """

    tokens: int
    difference: PairedDifference
    mean_a: float
    mean_b: float
    cut_a: float
    cut_b: float


class CurvePoint(Contract):
    """From `tokens` on (until the next point) `rate` of the tasks are solved; low and high: the band."""

    tokens: int
    rate: float
    low: float
    high: float


class TokenCurve(Contract):
    """Accuracy per tokens: a staircase from 0 tokens to `tokens`, and the mean height of it.

    `area` is the mean over T in [0, tokens] of the rate at T, in [0, 1]: 1 were every task solved at once.
    The band is pointwise, from the bootstrap over tasks; so is the area's interval. Where no task (or every
    one) is solved the band has no width, which is the bootstrap's way of knowing nothing.
    """

    n: int
    tokens: int
    points: tuple[CurvePoint, ...]
    area: float
    area_interval: Interval
    confidence: float


def within(run: Replicate, tokens: int) -> Replicate:
    """Return the run as it stands at so many tokens per task: what came later is not solved."""
    cut = {
        task: one._replace(passed=one.passed and one.tokens <= tokens) for task, one in run.results.items()
    }
    return run._replace(results=cut)


def compare_at_tokens(
    a: Sequence[Replicate], b: Sequence[Replicate], tokens: int, *, confidence: float = 0.95, seed: int = 0
) -> EqualTokens:
    """Compare two conditions at the same number of generated tokens per task (see the module).

    Raises:
        ValueError: as `paired_difference`, or tokens is negative.
    """
    if tokens < 0:
        raise ValueError(f"tokens is {tokens}: cannot be negative")
    tasks = common_tasks([*a, *b])
    return EqualTokens(
        tokens=tokens,
        difference=paired_difference(
            [within(run, tokens) for run in a],
            [within(run, tokens) for run in b],
            confidence=confidence,
            seed=seed,
        ),
        mean_a=_mean_tokens(a, tasks, tokens),
        mean_b=_mean_tokens(b, tasks, tokens),
        cut_a=_cut(a, tasks, tokens),
        cut_b=_cut(b, tasks, tokens),
    )


def token_curve(
    runs: Sequence[Replicate],
    *,
    tokens: int | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> TokenCurve:
    """Return accuracy as a function of generated tokens per task, over all runs of a condition, by task.

    Args:
        runs: of one condition; a task's rate is the mean over models of the mean over seeds.
        tokens: where the curve ends (use the same end for curves whose areas are compared); by default at
            the most that any task spent.
        confidence: of the band and of the area's interval.
        resamples: of the bootstrap over tasks.
        seed: the same seed gives the same band.

    Raises:
        ValueError: there are no runs, no task has a result in all of them, or `tokens` is below 1.
    """
    check_confidence(confidence)
    tasks = common_tasks(runs)
    end = tokens if tokens is not None else max(1, *(run.results[t].tokens for run in runs for t in tasks))
    if end < 1:
        raise ValueError(f"tokens is {end}: a curve needs at least 1")
    spent = np.array([[run.results[task].tokens for run in runs] for task in tasks], dtype=np.float64)
    passed = np.array([[run.results[task].passed for run in runs] for task in tasks], dtype=np.bool_)
    weights = _weights(runs)
    grid = _grid(spent[passed & (spent <= end)], end)
    solved = np.stack([((passed & (spent <= at)) @ weights) for at in grid], axis=1)  # (tasks, points)
    areas = np.where(passed, np.clip(1 - spent / end, 0, None), 0.0) @ weights
    columns = np.column_stack([solved, areas])
    low, high = _band(columns, confidence, resamples, seed)
    mean = columns.mean(axis=0)
    points = tuple(
        CurvePoint(tokens=int(at), rate=float(mean[i]), low=float(low[i]), high=float(high[i]))
        for i, at in enumerate(grid)
    )
    return TokenCurve(
        n=len(tasks),
        tokens=end,
        points=points,
        area=float(mean[-1]),
        area_interval=Interval(float(low[-1]), float(high[-1])),
        confidence=confidence,
    )


def _weights(runs: Sequence[Replicate]) -> npt.NDArray[np.float64]:
    """What each run weighs in a task's value: models equally, and of a model its runs equally."""
    models = [run.model for run in runs]
    return np.array([1 / (len(set(models)) * models.count(model)) for model in models])


def _grid(steps: npt.NDArray[np.float64], end: int) -> npt.NDArray[np.float64]:
    """Where the staircase is looked at: 0, its steps (of many, evenly chosen ones), and its end."""
    at = np.unique(np.concatenate([[0.0], steps, [float(end)]]))
    if len(at) <= MOST_POINTS:
        return at
    kept: npt.NDArray[np.float64] = at[
        np.unique(np.linspace(0, len(at) - 1, MOST_POINTS).round().astype(int))
    ]
    return kept


def _band(
    columns: npt.NDArray[np.float64], confidence: float, resamples: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bootstrap percentiles of each column's mean, tasks (rows) drawn again."""
    n, rng, tail = len(columns), np.random.default_rng(seed), (1 - confidence) / 2
    means = []
    for start in range(0, resamples, CHUNK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, resamples - start))
        means.append(drawn @ columns / n)
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail), axis=0)
    return low, high


def _mean_tokens(runs: Sequence[Replicate], tasks: Sequence[str], most: int) -> float:
    spent = [[min(most, run.results[task].tokens) for run in runs] for task in tasks]
    return float((np.array(spent, dtype=np.float64) @ _weights(runs)).mean())


def _cut(runs: Sequence[Replicate], tasks: Sequence[str], most: int) -> float:
    cut = [[run.results[task].tokens > most for run in runs] for task in tasks]
    return float((np.array(cut, dtype=np.float64) @ _weights(runs)).mean())
