"""The two ways of resampling tasks: the bootstrap of a mean, and flipping signs under "no difference"."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import numpy as np
import numpy.typing as npt

from benchmark.statistics.rates import Interval, check_confidence

RESAMPLES = 10_000


def bootstrap_mean(
    values: Sequence[float],
    bounds: tuple[float, float],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the mean of one value per task, tasks drawn again with replacement.

    Source: B. Efron and R. Tibshirani, "An introduction to the bootstrap" (1993), chapter 13. Where a task's
    value sums up several runs of it, this is the cluster bootstrap: a task is drawn with all of them. The
    tests measure how often it covers the truth on paired pass/fail data; correcting it for bias (BCa, chapter
    14 there) makes it cover less often on such coarse data with few tasks.

    If all values are equal, every resample is the same and the bootstrap would claim certainty. Then the
    interval allows for what n equal values leave possible: a share u = 1 - (α/2)^(1/n) of other tasks (the
    exact binomial bound for none among n), at either end of `bounds`.

    Args:
        values: one number per task.
        bounds: the least and the largest value that a task can have.
        confidence: of the interval, two-sided.
        resamples: how many.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: there are no values, or confidence is not inside (0, 1).
    """
    check_confidence(confidence)
    if not len(values):
        raise ValueError("there is nothing to resample")
    n, tail = len(values), (1 - confidence) / 2
    # A mean depends only on how often each distinct value is drawn.
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if len(distinct) == 1:
        other, value = 1 - tail ** (1 / n), float(distinct[0])
        return Interval(value - other * (value - bounds[0]), value + other * (bounds[1] - value))
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    low, high = np.quantile(drawn @ distinct / n, (tail, 1 - tail))
    return Interval(float(low), float(high))


def sign_flip(differences: Sequence[Fraction]) -> float:
    """Exact two-sided p-value of "the conditions are exchangeable within each task".

    Under that hypothesis each task's difference is as likely with the other sign. p is the chance, over all
    2^n ways to choose signs, of a sum at least as far from 0. Computed exactly, by convolution over the
    differences' common denominator: with one run per condition this is the exact McNemar test.
    Source: R. A. Fisher, "The design of experiments" (1935), section 21.

    Args:
        differences: one per task; small denominators, as means over few runs have.
    """
    unit = lcm(1, *(d.denominator for d in differences))
    steps = [abs(int(d * unit)) for d in differences if d]
    reach = sum(steps)
    chance: npt.NDArray[np.float64] = np.zeros(2 * reach + 1)  # chance[reach + s] is that of the sum s
    chance[reach] = 1.0
    for step in steps:
        moved = np.zeros_like(chance)
        moved[step:] += 0.5 * chance[: len(chance) - step]
        moved[: len(chance) - step] += 0.5 * chance[step:]
        chance = moved
    seen = abs(int(sum(differences, Fraction(0)) * unit))
    if seen == 0:
        return 1.0
    return min(1.0, float(chance[: reach - seen + 1].sum() + chance[reach + seen :].sum()))


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of sum(numerators) / sum(denominators), tasks drawn with replacement.

    A resample whose denominators add up to nothing has no ratio and is left out.

    Args:
        numerators: one number per task.
        denominators: one per task, at least 0.
        confidence: of the interval, two-sided.
        resamples: how many.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: the denominators add up to nothing, or confidence is not inside (0, 1).
    """
    check_confidence(confidence)
    if len(numerators) != len(denominators) or not sum(denominators):
        raise ValueError("there is no ratio to resample")
    n, tail = len(numerators), (1 - confidence) / 2
    drawn = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=resamples)
    above, below = drawn @ np.asarray(numerators, float), drawn @ np.asarray(denominators, float)
    ratios = above[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return Interval(float(low), float(high))
