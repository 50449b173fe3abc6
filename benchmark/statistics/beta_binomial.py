"""How a chance differs from task to task: the Beta distribution that tasks' tries come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

SIZES = (1e-2, 1e3)  # of right + wrong: beyond them the likelihood is flat
MEANS = (1e-4, 1 - 1e-4)


class Drawn(NamedTuple):
    """A try of a task: whether it passed, and how many failures of another kind were known before it.

    `elsewhere` counts as so many failed tries of this kind; `harder` is what the task multiplies `wrong` by.
    """

    passed: bool
    elsewhere: float = 0.0
    harder: float = 1.0


def fit_beta(tasks: Sequence[Sequence[Drawn]]) -> tuple[float, float]:
    """Return (right, wrong) of the Beta distribution that each task's chance is drawn from.

    The likelihood is that of `log_likelihood`, in which the rule that ended a task's tries (the first
    success, say) has no part. The mode over (logit of the mean, log of the size), under the hyperprior of
    Gelman et al., "Bayesian Data Analysis" (3rd ed. 2013), section 5.3, density ~ (right + wrong)^(-5/2): it
    keeps the fit finite where no try passed, all did, or all tasks are alike.

    Args:
        tasks: each task's tries, in the order in which they were made.

    Raises:
        ValueError: there are no tries.
    """
    passed, before, harder = _flat(tasks)
    if not len(passed):
        raise ValueError("there are no tries to fit to")

    def loss(at: npt.NDArray[np.float64]) -> float:
        mean, size = special.expit(at[0]), np.exp(at[1])
        right, wrong = mean * size, (1 - mean) * size
        likely = _log_chances(right, wrong * harder, passed, before).sum()
        # The density over (right, wrong), and the Jacobian of the coordinates it is maximised in.
        return -float(likely + np.log(right) + np.log(wrong) - 2.5 * np.log(size))

    bounds = [tuple(special.logit(MEANS)), tuple(np.log(SIZES))]
    begin = special.logit((passed.sum() + 1) / (len(passed) + 2))
    starts = [np.array([begin, np.log(size)]) for size in (1.0, 20.0)]
    found = min((optimize.minimize(loss, at, bounds=bounds) for at in starts), key=lambda each: each.fun)
    mean, size = float(special.expit(found.x[0])), float(np.exp(found.x[1]))
    return mean * size, (1 - mean) * size


def log_likelihood(right: float, wrong: float, tasks: Sequence[Sequence[Drawn]]) -> float:
    """Return a task's mean log-likelihood of its tries, each predicted from those before it.

    The chance of the next is that of Beta(right + passed so far, wrong * `harder` + failed so far +
    `elsewhere`): with nothing elsewhere, the beta-binomial likelihood of the sequence.
    """
    passed, before, harder = _flat(tasks)
    return float(_log_chances(right, wrong * harder, passed, before).sum() / len(tasks))


def _flat(
    tasks: Sequence[Sequence[Drawn]],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return whether each try passed, in two rows the passes and failures before it, and how hard it was."""
    outcomes, before, harder = [], [], []
    for task in tasks:
        right = wrong = 0
        for each in task:
            outcomes.append(each.passed)
            harder.append(each.harder)
            before.append((right, wrong + each.elsewhere))
            right, wrong = right + each.passed, wrong + (not each.passed)
    counts = np.array(before, dtype=np.float64).reshape(-1, 2).T
    return np.array(outcomes, dtype=bool), counts, np.array(harder, dtype=np.float64)


def _log_chances(
    right: float,
    wrong: npt.NDArray[np.float64],
    passed: npt.NDArray[np.bool_],
    before: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    a, b = right + before[0], wrong + before[1]
    chances: npt.NDArray[np.float64] = np.where(passed, a, b) / (a + b)
    return np.log(chances)
