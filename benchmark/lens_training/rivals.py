"""Honest rivals of C(x) on the same features and the same folds: a linear probe, boosted trees. scikit-learn.

Both give scores that, like energies, are lower for the likelier. The probe's rows are centred by task, so
that it too learns what tells candidates of one task apart. Trees over hidden states get their principal
components: boosting over thousands of directions takes hours, and was no better where it was tried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmark.lens_training.data import Floats, Ints, Matrix
from benchmark.lens_training.network import Pairs
from benchmark.lens_training.ranking import mean_auc

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
INNER_FOLDS = 3
COMPONENTS = 32
Scores = Callable[[Matrix], Floats]


def linear_probe(data: Pairs) -> Scores:
    """Fit a regularised logistic regression; its strength is what orders other tasks best.

    Raises:
        ValueError: no task has right and wrong rows.
    """
    rows = data.of(data.mixed)
    x, y = _centred(rows), rows.right.astype(int)
    if not len(y):
        raise ValueError("there is no task with right and wrong candidates")
    best = max(STRENGTHS, key=lambda c: _judged(x, y, rows.group, c))
    model = logistic(best).fit(x, y)

    def scores(new: Matrix) -> Floats:
        return -np.asarray(model.decision_function(new), float)

    return scores


def boosted_trees(data: Pairs, seed: int) -> Scores:
    """Fit gradient-boosted trees of depth 3 on rows as they are."""
    steps = [StandardScaler()]
    if data.x.shape[1] > 2 * COMPONENTS:
        steps.append(PCA(min(COMPONENTS, len(data.x) - 1), random_state=seed))
    trees = HistGradientBoostingClassifier(
        max_depth=3, max_iter=150, learning_rate=0.05, random_state=seed, early_stopping=False
    )
    model = make_pipeline(*steps, trees).fit(data.x, data.right.astype(int))

    def scores(new: Matrix) -> Floats:
        return -np.asarray(model.predict_proba(new)[:, 1], float)

    return scores


def _judged(x: Matrix, y: Ints, group: Ints, strength: float) -> float:
    """Within-task AUC on tasks the probe was not fitted to."""
    folds = min(INNER_FOLDS, len(np.unique(group)))
    if folds < 2:
        return 0.0
    found = np.zeros(len(y))
    for rest, fold in GroupKFold(folds, shuffle=True, random_state=0).split(x, y, group):
        found[fold] = -logistic(strength).fit(x[rest], y[rest]).decision_function(x[fold])
    return mean_auc(group, y.astype(bool), found)


def logistic(strength: float) -> Pipeline:
    """Return a logistic regression over standardised features, to be fitted."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))


def _centred(rows: Pairs) -> Matrix:
    _, number, counts = np.unique(rows.group, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), rows.x.shape[1]), dtype=np.float64)
    np.add.at(sums, number, rows.x)
    return (rows.x - (sums / counts[:, None])[number]).astype(np.float32)
