"""What difference a paired comparison could have seen, and how many tasks a difference needs.

The model: of n tasks, each is discordant with probability π (just one of the two conditions solves it), and
the true difference of the pass rates is δ = P(only b) - P(only a), so |δ| <= π. The fewer tasks the two
disagree on, the smaller the difference that shows.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from atlas.contracts import Contract
from benchmark.statistics.paired import PairedDifference

ALPHA, POWER = 0.05, 0.8
WORST_DISCORDANCE = 0.5
"""Discordance to reckon with before there are data: that of two conditions whose successes have nothing to do
with each other, at a pass rate of one half. It is the worst of such: p(1-q) + q(1-p) is at most 1/2 at p = q.
Real conditions share their easy and their hard tasks and disagree on fewer."""
NEGLIGIBLE = 1e-9


class Power(Contract):
    """The smallest true difference (either way) that n tasks show with probability `power` at level `alpha`.

    None where even "every task, one way" would not (fewer than 6 tasks). `basis`: the discordance seen, or
    the worst case before there are data. `method`: the exact power of the exact McNemar test, or, for
    conditions run several times, the normal approximation with the seen spread of the tasks' differences.
    """

    n: int
    alpha: float
    power: float
    basis: Literal["observed", "worst_case"]
    method: Literal["exact_mcnemar", "normal"]
    discordance: float
    detectable: float | None


def power_of(seen: PairedDifference, *, alpha: float = ALPHA, power: float = POWER) -> Power:
    """Return what a comparison could have seen, given the discordance that it saw.

    The discordance is itself an estimate; what is *not* done here is to ask for the power at the difference
    that was seen, which would only say the p-value again.
    """
    if seen.test == "sign_flip" and seen.sd > 0:
        method: Literal["exact_mcnemar", "normal"] = "normal"
        detectable: float | None = min(1.0, (_z(1 - alpha / 2) + _z(power)) * seen.sd / sqrt(seen.n))
    else:
        method, detectable = "exact_mcnemar", detectable_difference(seen.n, seen.discordance, alpha, power)
    return Power(
        n=seen.n,
        alpha=alpha,
        power=power,
        basis="observed",
        method=method,
        discordance=seen.discordance,
        detectable=detectable,
    )


def power_before(n: int, *, alpha: float = ALPHA, power: float = POWER) -> Power:
    """Return what n tasks, run once under each condition, can be counted on to see: the worst case."""
    return Power(
        n=n,
        alpha=alpha,
        power=power,
        basis="worst_case",
        method="exact_mcnemar",
        discordance=WORST_DISCORDANCE,
        detectable=detectable_difference(n, WORST_DISCORDANCE, alpha, power),
    )


def mcnemar_power(n: int, discordance: float, difference: float, alpha: float = ALPHA) -> float:
    """Probability that the exact McNemar test on n tasks rejects at level alpha. Exact.

    The number m of discordant tasks is Binomial(n, π); given m, those that only b solves are
    Binomial(m, (π+δ)/2π), and the test rejects in both tails of Binomial(m, 1/2).

    Raises:
        ValueError: not n >= 1 and |difference| <= discordance <= 1 and 0 < alpha < 1.
    """
    if n < 1 or not abs(difference) <= discordance <= 1 or not 0 < alpha < 1:
        raise ValueError(
            f"needs n >= 1 and |difference| <= discordance <= 1, not n={n}, difference={difference}, "
            f"discordance={discordance}, alpha={alpha}"
        )
    if discordance == 0:
        return 0.0
    most, least = binom.isf(NEGLIGIBLE, n, discordance), binom.ppf(NEGLIGIBLE, n, discordance)
    m = np.arange(int(least), int(most) + 1)
    last = binom.ppf(alpha / 2, m, 0.5)  # the last count of the lower tail that is still rejected
    last = np.where(binom.cdf(last, m, 0.5) <= alpha / 2, last, last - 1)
    chance = (discordance + difference) / (2 * discordance)
    rejects = binom.cdf(last, m, chance) + binom.sf(m - last - 1, m, chance)
    return float(min(1.0, (binom.pmf(m, n, discordance) * rejects).sum()))


def detectable_difference(
    n: int, discordance: float = WORST_DISCORDANCE, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """Return the smallest true difference that n tasks show with that power, at that discordance.

    Where no difference within the discordance is large enough, discordance grows with the difference: the
    tasks on which the two differ then all go one way. None if not even a difference of 1 would show.

    Raises:
        ValueError: not n >= 1, 0 <= discordance <= 1, 0 < alpha < 1 and alpha < power < 1.
    """
    if not 0 <= discordance <= 1 or not alpha < power < 1:
        raise ValueError(f"needs discordance in [0, 1] and power in (alpha, 1), not {discordance}, {power}")

    def short(difference: float) -> float:
        return power - mcnemar_power(n, max(discordance, difference), difference, alpha)

    if short(1.0) > 0:
        return None
    return float(brentq(short, 1e-6, 1.0, xtol=1e-6))


def tasks_needed(
    difference: float, discordance: float = WORST_DISCORDANCE, alpha: float = ALPHA, power: float = POWER
) -> int:
    """Return how many tasks show a true difference with that power: the inverse of `detectable_difference`.

    The exact test's power is a slightly jagged function of n: this is a number of tasks that reaches it where
    one task less does not.

    Raises:
        ValueError: not 0 < |difference| <= discordance <= 1.
    """
    difference = abs(difference)
    if not 0 < difference <= discordance:
        raise ValueError(f"needs 0 < |difference| <= discordance, not {difference} and {discordance}")
    enough = 1
    while mcnemar_power(enough, discordance, difference, alpha) < power:
        enough *= 2
    too_few = enough // 2  # 0 if one task is enough, which it never is
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if mcnemar_power(middle, discordance, difference, alpha) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def _z(probability: float) -> float:
    return float(norm.ppf(probability))
