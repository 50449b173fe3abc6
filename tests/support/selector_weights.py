"""Selector weights that a test sets itself: those that ship are fitted anew with every pool."""

from __future__ import annotations

from functools import partial

import pytest

from atlas.selector import FEATURES, FeatureWeight, Provenance, SelectorWeights
from services.lens import routes
from services.lens.selection import compared


def of_these(intercept: float = 0.0, **weights: float) -> SelectorWeights:
    """Return a model that knows these features alone."""
    features = {name: FeatureWeight(mean=0, weight=weights.get(name, 0.0), scale=1) for name in FEATURES}
    assert weights.keys() <= features.keys()
    return SelectorWeights(
        features=features, intercept=intercept, provenance=Provenance(n_tasks=0, n_clusters=0)
    )


def weigh(monkeypatch: pytest.MonkeyPatch, **weights: float) -> None:
    """Have the lens's routes choose by these features alone."""
    monkeypatch.setattr(routes, "compared", partial(compared, weights=of_these(**weights)))
