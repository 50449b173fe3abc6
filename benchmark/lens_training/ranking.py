"""How well scores (lower is better) order candidates: within-task AUC, first picks, with intervals. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from atlas.lens.card import Estimate, Ranker
from benchmark.lens_training.data import Floats, Ints
from benchmark.statistics import bootstrap_mean

Bools = npt.NDArray[np.bool_]
RESAMPLES = 2000


def auc(right: Bools, scores: Floats) -> float:
    """Return how often a right one scores lower than a wrong one, ties counting half (Mann-Whitney).

    Raises:
        ValueError: all are right, or none is.
    """
    n, m = int(right.sum()), int((~right).sum())
    if not n or not m:
        raise ValueError("an AUC needs right and wrong ones")
    ranks = rankdata(-scores)
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * m))


def by_task(group: Ints, right: Bools, scores: Floats) -> tuple[list[float], list[float]]:
    """Return AUC and expected first pick of each task that has right and wrong candidates, by its number."""
    aucs, picks = [], []
    for number in np.unique(group):
        inside = group == number
        here, values = right[inside], scores[inside]
        if here.all() or not here.any():
            continue
        aucs.append(auc(here, values))
        picks.append(float(here[values == values.min()].mean()))
    return aucs, picks


def mean_auc(group: Ints, right: Bools, scores: Floats) -> float:
    """Return the mean within-task AUC; 0.5 where no task is mixed."""
    aucs, _ = by_task(group, right, scores)
    return float(np.mean(aucs)) if aucs else 0.5


def ranker(group: Ints, right: Bools, scores: Floats) -> Ranker:
    """Return both figures with their intervals.

    Raises:
        ValueError: no task is mixed.
    """
    aucs, picks = by_task(group, right, scores)
    return Ranker(auc=estimate(aucs, (0.0, 1.0)), first_pick=estimate(picks, (0.0, 1.0)))


def differences(group: Ints, right: Bools, scores: Mapping[str, Floats], of: str) -> dict[str, Estimate]:
    """Return the AUC of one minus that of each other, paired by task."""
    own, _ = by_task(group, right, scores[of])
    found = {}
    for name, values in scores.items():
        if name != of:
            theirs, _ = by_task(group, right, values)
            found[name] = estimate([a - b for a, b in zip(own, theirs, strict=True)], (-1.0, 1.0))
    return found


def estimate(values: list[float], bounds: tuple[float, float]) -> Estimate:
    """Return the mean of one value a task and its interval.

    Raises:
        ValueError: there is none.
    """
    low, high = bootstrap_mean(values, bounds)
    return Estimate(value=float(np.mean(values)), low=low, high=high, n=len(values))


def auc_over_tasks(right: Bools, scores: Floats, group: Ints | None = None, seed: int = 0) -> Estimate:
    """Return the AUC of one row a task, and the percentile interval over tasks drawn again.

    With a `group` of each row only rows of one group are compared: what tells groups apart does not count. A
    draw in which nothing can be compared has no AUC and is left out.

    Raises:
        ValueError: no right row can be compared with a wrong one.
    """
    group = np.zeros(len(right), int) if group is None else group
    value = _auc_within(right, scores, group)
    if value is None:
        raise ValueError("an AUC needs right and wrong ones")
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = chance.integers(0, len(right), len(right))
        found = _auc_within(right[chosen], scores[chosen], group[chosen])
        drawn += [] if found is None else [found]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high), n=len(right))


def _auc_within(right: Bools, scores: Floats, group: Ints) -> float | None:
    """The share of a group's right-wrong pairs that are in order, over the pairs of all groups."""
    ordered = pairs = 0.0
    for number in np.unique(group):
        here = right[group == number]
        of_group = float(here.sum() * (~here).sum())
        if of_group:
            ordered += of_group * auc(here, scores[group == number])
            pairs += of_group
    return ordered / pairs if pairs else None
