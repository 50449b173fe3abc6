"""Fitting the calibrated selector: a logistic model of cluster features, by regularised likelihood. Pure.

Every cluster of every task is a row; its label is whether the program that would be handed in for it is
right. Tasks weigh the same, however many clusters each has. No feature may count against what it stands for
(`DIRECTIONS`): a weight of the wrong sign is chance, and is left at 0. How strong the regularisation is, and
how good the probabilities are, is judged on tasks that a model was not fitted to (grouped k-fold by task):
rows of one task are alike, and a split by row would tell the model their answers.

Of the strengths the strongest is taken whose loss is within one standard error of the least (Breiman et al.
1984): a hundred tasks have few that tell whether a surer program beats a commoner one, and what they say of
it is mostly chance. So strong a fit understates what it knows, so its scores are scaled on the tasks left out
(Platt 1999); that is linear, and stays in the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from atlas.selection_api import Selection
from atlas.selector import FEATURES, MOST_DEVIATIONS, FeatureWeight, Provenance, SelectorWeights
from benchmark.selection.pools import PooledTask
from benchmark.statistics.calibration import (
    Platt,
    brier_score,
    calibration_error,
    equal_mass_bins,
    platt_of,
)

DIRECTIONS = {
    "examples_passed": 1,
    "no_survivor": -1,
    "size_share": 1,
    "log_independent": 1,
    "reading_lead": 1,
    "logprob_over": 1,
    "energy": -1,
}
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FOLDS = 10
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Clusters as numbers: `x` (n, features), `y` (n) 0 or 1, `task` (n) numbers of tasks, `weight` (n).

    `choice` (n) numbers what one program is chosen from: a task of a pool, with energies or without.
    """

    x: Floats
    y: npt.NDArray[np.int64]
    task: npt.NDArray[np.int64]
    weight: Floats
    choice: npt.NDArray[np.int64]

    def inside(self, rows: npt.NDArray[np.bool_]) -> Rows:
        """Return these rows."""
        return Rows(self.x[rows], self.y[rows], self.task[rows], self.weight[rows], self.choice[rows])


@dataclass(frozen=True)
class Fitted:
    """The weights, and the figures of their provenance by name."""

    weights: SelectorWeights
    metrics: dict[str, float]


def rows(answers: Iterable[tuple[PooledTask, Selection]]) -> Rows:
    """Return the rows of tasks as the lens weighed them; tasks of several pools share a number.

    A task of a pool weighs the same however often it was asked about (with energies and without).
    """
    x, y, task, weight, choice = [], [], [], [], []
    answers = list(answers)
    asked = Counter((pooled.pool, pooled.key) for pooled, _ in answers)
    numbers: dict[str, int] = {}
    for place, (pooled, selection) in enumerate(answers):
        number = numbers.setdefault(pooled.key, len(numbers))
        for cluster in selection.clusters:
            x.append([cluster.features[name] for name in FEATURES])
            y.append(int(pooled.right[cluster.program]))
            task.append(number)
            weight.append(1 / len(selection.clusters) / asked[pooled.pool, pooled.key])
            choice.append(place)
    return Rows(
        np.asarray(x, float), np.asarray(y), np.asarray(task), np.asarray(weight, float), np.asarray(choice)
    )


def fit(data: Rows, provenance: Provenance) -> Fitted:
    """Fit the weights; `provenance` gets the counts and the out-of-fold figures.

    Raises:
        ValueError: all labels are the same, or there are fewer tasks than folds.
    """
    tasks = len(np.unique(data.task))
    if len(np.unique(data.y)) < len((0, 1)) or tasks < FOLDS:
        raise ValueError(
            f"a fit needs right and wrong clusters, of at least {FOLDS} tasks; there are {tasks}"
        )
    strength = strongest(data)
    scores = out_of_fold(data, strength)
    stated = _in_folds(data, lambda inside: _platt(data, scores, inside).log_odds(scores))
    metrics = {
        "C": strength,
        "log_loss": _loss(data, stated)[0],
        **chosen(data, expit(stated)),
        **_by_energy(data, expit(stated)),
    }
    every = np.ones(len(data.y), bool)
    model, scaling = _fitted(data, strength, every), _platt(data, scores, every)
    scaler, logistic = model[0], model[-1]
    features = {
        name: FeatureWeight(mean=float(mean), scale=float(scale), weight=float(weight) * scaling.slope)
        for name, mean, scale, weight in zip(
            FEATURES, scaler.mean_, scaler.scale_, logistic.coef_[0], strict=True
        )
    }
    counts = {"n_tasks": tasks, "n_clusters": len(data.y), "metrics": metrics}
    weights = SelectorWeights(
        features=features,
        intercept=float(logistic.intercept_[0]) * scaling.slope + scaling.intercept,
        provenance=provenance.model_copy(update=counts),
    )
    return Fitted(weights, metrics)


def strongest(data: Rows) -> float:
    """Return the strongest regularisation whose loss is within one standard error of the least."""
    losses = {c: _loss(data, out_of_fold(data, c)) for c in STRENGTHS}
    bound = sum(min(losses.values()))
    return min(c for c, (loss, _) in losses.items() if loss <= bound)


def out_of_fold(data: Rows, strength: float) -> Floats:
    """Return each cluster's log odds by a model that was fitted without its task."""
    return _in_folds(data, lambda inside: _fitted(data, strength, inside).decision_function(data.x))


def _in_folds(data: Rows, of: Callable[[npt.NDArray[np.bool_]], Floats]) -> Floats:
    """Return what `of` gives for each row when it may look at the rows of other folds' tasks alone."""
    found = np.zeros(len(data.y))
    for rest, fold in GroupKFold(FOLDS, shuffle=True, random_state=0).split(data.x, data.y, data.task):
        inside = np.zeros(len(data.y), bool)
        inside[rest] = True
        found[fold] = of(inside)[fold]
    return found


def _platt(data: Rows, scores: Floats, inside: npt.NDArray[np.bool_]) -> Platt:
    """Return how log odds are scaled; the slope is never below 0, which would turn their order."""
    found = platt_of(scores[inside], data.y[inside], data.weight[inside])
    return replace(found, slope=max(found.slope, 0.0))


def chosen(data: Rows, probability: Sequence[float] | Floats) -> dict[str, float]:
    """Return what choosing the most probable cluster each time comes to: accuracy, Brier score, ECE."""
    given = np.asarray(probability, float)
    best = [
        int(members[np.argmax(given[members])])
        for members in (np.flatnonzero(data.choice == number) for number in np.unique(data.choice))
    ]
    right, confidence = data.y[best].astype(float), given[best]
    bins = equal_mass_bins(confidence.tolist(), right.tolist())
    return {
        "accuracy": float(right.mean()),
        "brier": brier_score(confidence.tolist(), right.tolist()),
        "ece": calibration_error(bins),
    }


def _by_energy(data: Rows, stated: Floats) -> dict[str, float]:
    """Return the accuracy of choosing with energies and without, where the rows have both."""
    energetic = np.isin(data.choice, data.choice[data.x[:, FEATURES.index("has_energy")] > 0])
    if energetic.all() or not energetic.any():
        return {}
    return {
        "accuracy_with_energies": chosen(data.inside(energetic), stated[energetic])["accuracy"],
        "accuracy_without": chosen(data.inside(~energetic), stated[~energetic])["accuracy"],
    }


def _fitted(data: Rows, strength: float, inside: npt.NDArray[np.bool_]) -> Pipeline:
    """Fit to some rows, again without what came out with the wrong sign, until nothing does."""
    directions = np.asarray([DIRECTIONS.get(name, 0) for name in FEATURES])
    weight, kept = data.weight[inside], np.ones(len(FEATURES))
    fitting = {"standardscaler__sample_weight": weight, "logisticregression__sample_weight": weight}
    while True:
        held = FunctionTransformer(_held, kw_args={"kept": kept})
        model = make_pipeline(StandardScaler(), held, LogisticRegression(C=strength, max_iter=2000))
        fitted: Pipeline = model.fit(data.x[inside], data.y[inside], **fitting)
        wrong = directions * fitted[-1].coef_[0] < 0
        if not wrong.any():
            return fitted
        kept = np.where(wrong, 0.0, kept)


def _held(deviations: Floats, kept: Floats) -> Floats:
    return np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS) * kept


def _loss(data: Rows, scores: Floats) -> tuple[float, float]:
    """Return the mean over tasks of their clusters' mean log loss, from log odds, and its standard error."""
    each = np.logaddexp(0.0, np.where(data.y == 1, -scores, scores)) * data.weight
    numbers = np.unique(data.task, return_inverse=True)[1]
    weights = np.bincount(numbers, data.weight)
    losses = np.bincount(numbers, each) / weights
    mean = float(np.average(losses, weights=weights))
    return mean, float(np.sqrt((weights**2 * (losses - mean) ** 2).sum()) / weights.sum())
