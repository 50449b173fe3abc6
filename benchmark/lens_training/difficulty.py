"""Whether a task's first candidate will be right, from the prompt's last state: a probe. scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from atlas.lens.card import DifficultyFigures
from benchmark.lens_training.data import Floats, Ints, Matrix, Rows
from benchmark.lens_training.ranking import Bools, auc_over_tasks
from benchmark.lens_training.rivals import logistic

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS, INNER_FOLDS = 5, 3


def difficulty(train: Rows, report: Rows | None) -> dict[str, DifficultyFigures]:
    """Return how well a probe tells it, out of fold and on the report tasks, beside the prompt's length.

    Nothing where the rows have no prompts, or all (or too few) first candidates are right or wrong.
    """
    if train.prompts is None or train.first is None or train.prompt_chars is None:
        return {}
    x, y = train.prompts, train.first
    if min(int(y.sum()), int((~y).sum())) < FOLDS:
        return {}
    found = {"folds": _figures(y, _out_of_fold(x, y.astype(int)), train.prompt_chars)}
    if report is not None and report.prompts is not None and report.first is not None:
        measured, chars = report.first, report.prompt_chars
        if chars is not None and measured.any() and not measured.all():
            found["report"] = _figures(measured, _fitted(x, y.astype(int))(report.prompts), chars)
    return found


def _figures(first: Bools, probe: Floats, chars: Floats) -> DifficultyFigures:
    return DifficultyFigures(
        probe=auc_over_tasks(first, probe),
        prompt_length=auc_over_tasks(first, chars),
        right=float(first.mean()),
    )


def _out_of_fold(x: Matrix, y: Ints) -> Floats:
    found = np.zeros(len(y))
    for rest, fold in _folds().split(x, y):
        found[fold] = _fitted(x[rest], y[rest])(x[fold])
    return found


def _fitted(x: Matrix, y: Ints) -> Callable[[Matrix], Floats]:
    """Fit with the strength that is best on other tasks; scores are lower for the likelier."""
    losses = {}
    for strength in STRENGTHS:
        stated = np.zeros(len(y))
        try:
            for rest, fold in _folds(INNER_FOLDS).split(x, y):
                stated[fold] = logistic(strength).fit(x[rest], y[rest]).predict_proba(x[fold])[:, 1]
        except ValueError:  # a class with fewer tasks than folds: the strongest regularisation is the safest
            return _scores(x, y, STRENGTHS[0])
        losses[strength] = log_loss(y, stated)
    return _scores(x, y, min(losses, key=lambda c: losses[c]))


def _scores(x: Matrix, y: Ints, strength: float) -> Callable[[Matrix], Floats]:
    model = logistic(strength).fit(x, y)
    return lambda new: -np.asarray(model.decision_function(new), float)


def _folds(n: int = FOLDS) -> StratifiedKFold:
    return StratifiedKFold(n, shuffle=True, random_state=0)
