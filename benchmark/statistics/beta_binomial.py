"""How a chance differs from task to task: the Beta distribution that tasks' tries come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

SIZES = (1e-2, 1e3)  # of right + wrong: beyond them the likelihood is flat
MEANS = (1e-4, 1 - 1e-4)


def fit_beta(passed: Sequence[int], failed: Sequence[int]) -> tuple[float, float]:
    """Return (right, wrong) of the Beta distribution that each task's chance is drawn from.

    Its likelihood is the beta-binomial one, in which the rule that ended a task's tries (the first success,
    say) has no part. The mode over (logit of the mean, log of the size), under the hyperprior of Gelman et
    al., "Bayesian Data Analysis" (3rd ed. 2013), section 5.3, density ~ (right + wrong)^(-5/2): it keeps the
    fit finite where no try passed, all did, or all tasks are alike.

    Args:
        passed: tries that succeeded, one number per task.
        failed: tries that did not.

    Raises:
        ValueError: there are no tries.
    """
    s, f = np.asarray(passed, dtype=np.float64), np.asarray(failed, dtype=np.float64)
    if len(s) != len(f) or not (s + f).sum():
        raise ValueError("there are no tries to fit to")

    def loss(at: npt.NDArray[np.float64]) -> float:
        mean, size = special.expit(at[0]), np.exp(at[1])
        right, wrong = mean * size, (1 - mean) * size
        likely = len(s) * log_likelihood(right, wrong, passed, failed)
        # The density over (right, wrong), and the Jacobian of the coordinates it is maximised in.
        return -float(likely + np.log(right) + np.log(wrong) - 2.5 * np.log(size))

    bounds = [tuple(special.logit(MEANS)), tuple(np.log(SIZES))]
    begin = special.logit((s.sum() + 1) / ((s + f).sum() + 2))
    starts = [np.array([begin, np.log(size)]) for size in (1.0, 20.0)]
    found = min((optimize.minimize(loss, at, bounds=bounds) for at in starts), key=lambda each: each.fun)
    mean, size = float(special.expit(found.x[0])), float(np.exp(found.x[1]))
    return mean * size, (1 - mean) * size


def log_likelihood(right: float, wrong: float, passed: Sequence[int], failed: Sequence[int]) -> float:
    """Return a task's mean log-likelihood of its sequence of tries, its chance being Beta(right, wrong)."""
    s, f = np.asarray(passed, dtype=np.float64), np.asarray(failed, dtype=np.float64)
    return float((special.betaln(right + s, wrong + f) - special.betaln(right, wrong)).mean())
