"""One condition's pass rate and its interval; unbiased pass@k."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from scipy.stats import binomtest


class Interval(NamedTuple):
    """A confidence interval, of a proportion in [0, 1] or of a difference of two in [-1, 1]."""

    low: float
    high: float


def wilson_interval(passed: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of the proportion passed/n, without continuity correction.

    With p = passed/n and z the normal quantile of the confidence:
    (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927) 209-212. It treats tasks as independent draws: it says nothing of the model's own sampling noise.

    Raises:
        ValueError: not 0 <= passed <= n, n is 0, or confidence is not inside (0, 1).
    """
    if n < 1 or not 0 <= passed <= n:
        raise ValueError(f"needs 0 <= passed <= n and n >= 1, not passed={passed}, n={n}")
    check_confidence(confidence)
    ends = binomtest(passed, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(ends.low), float(ends.high))


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that at least one of k samples is right, from n samples of one task.

    1 - C(n-correct, k) / C(n, k), computed as 1 - prod_{i=n-correct+1..n} (1 - k/i).
    Source: M. Chen et al., "Evaluating large language models trained on code", arXiv:2107.03374, section 2.1.
    It is an oracle's rate: k > 1 is not what a user who gets one program sees (DESIGN.md, promise 2).

    Raises:
        ValueError: not 1 <= k <= n or not 0 <= correct <= n.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(f"needs 1 <= k <= n and 0 <= correct <= n, not n={n}, correct={correct}, k={k}")
    if n - correct < k:
        return 1.0
    return 1.0 - prod(1.0 - k / i for i in range(n - correct + 1, n + 1))


def check_confidence(confidence: float) -> None:
    """Refuse what is no confidence.

    Raises:
        ValueError: it is not inside (0, 1), perhaps a percentage.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
