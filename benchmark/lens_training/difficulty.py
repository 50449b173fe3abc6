"""Whether a task's first candidate will be right, from the prompt's last state: a linear probe. scikit-learn.

It is fitted to the share of a task's candidates that are right, since they are draws of one chance and the
first of them tells less; it is judged by the first.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from atlas.lens.card import DifficultyFigures
from atlas.lens.energy import LEAST_SCALE
from atlas.lens.prompt_probe import PromptProbe
from benchmark.lens_training.data import Floats, Matrix, Rows
from benchmark.lens_training.ranking import Bools, auc_over_tasks
from benchmark.statistics.calibration import brier_score

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FOLDS, INNER_FOLDS = 5, 3


def trained_probe(train: Rows) -> PromptProbe | None:
    """Return the probe of all tasks, as it is kept.

    None where the rows have no prompts, or too few first candidates are right, or wrong, to judge it by.
    """
    if train.prompts is None or train.first is None or train.share is None:
        return None
    if min(int(train.first.sum()), int((~train.first).sum())) < FOLDS:
        return None
    return _fitted(train.prompts, train.share)


def difficulty(train: Rows, report: Rows | None, probe: PromptProbe | None) -> dict[str, DifficultyFigures]:
    """Return how well a probe tells it, out of fold and on the report tasks, beside the prompt's length."""
    if probe is None or train.prompts is None or train.share is None:
        return {}
    found = {"folds": _figures(train, _out_of_fold(train.prompts, train.share))}
    if report is None or report.prompts is None or report.first is None:
        return found
    if report.first.any() and not report.first.all():
        found["report"] = _figures(report, probe.failing(report.prompts))
    return found


def _figures(rows: Rows, failing: Floats) -> DifficultyFigures:
    first, chars = rows.first, rows.prompt_chars
    if first is None or chars is None:
        raise AssertionError("rows with prompts and without what became of them")
    return DifficultyFigures(
        probe=auc_over_tasks(first, failing),
        prompt_length=auc_over_tasks(first, chars),
        right=float(first.mean()),
        brier=_brier(first, 1 - failing),
        brier_of_the_mean=_brier(first, np.full(len(first), first.mean())),
    )


def _brier(first: Bools, stated: Floats) -> float:
    return brier_score(stated.tolist(), first.astype(float).tolist())


def _out_of_fold(x: Matrix, share: Floats) -> Floats:
    found = np.zeros(len(share))
    for rest, fold in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        found[fold] = _fitted(x[rest], share[rest]).failing(x[fold])
    return found


def _fitted(x: Matrix, share: Floats) -> PromptProbe:
    """Fit with the strength that is best on other tasks."""
    losses = {}
    for strength in STRENGTHS:
        failing = np.zeros(len(share))
        for rest, fold in KFold(INNER_FOLDS, shuffle=True, random_state=0).split(x):
            failing[fold] = _probe(x[rest], share[rest], strength).failing(x[fold])
        _, y, weight = _tries(x, share)
        losses[strength] = log_loss(y, np.tile(1 - failing, 2), sample_weight=weight)
    return _probe(x, share, min(losses, key=lambda c: losses[c]))


def _probe(x: Matrix, share: Floats, strength: float) -> PromptProbe:
    scaler = StandardScaler().fit(x)
    mean = _kept(scaler.mean_)
    scale = np.maximum(_kept(scaler.scale_), LEAST_SCALE)
    rows, y, weight = _tries(((x - mean) / scale).astype(np.float32), share)
    model = LogisticRegression(C=strength, max_iter=300).fit(rows, y, sample_weight=weight)
    return PromptProbe(mean, scale, _kept(model.coef_[0]), _kept(model.intercept_))


def _tries(x: Matrix, share: Floats) -> tuple[Matrix, Floats, Floats]:
    """Each task as a right try and a wrong one, weighed by the shares of its candidates that are."""
    n = len(share)
    y = np.repeat([1.0, 0.0], n)
    return np.concatenate([x, x]), y, np.concatenate([share, 1 - share])


def _kept(values: Floats) -> Matrix:
    """Round to what a weights file holds."""
    return np.asarray(values).astype(np.float16).astype(np.float32)
