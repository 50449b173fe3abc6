"""Probabilities from scores (Platt), and how far stated ones are from what came of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from atlas.contracts import Contract

BINS = 5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Platt:
    """P(right) = expit(intercept + slope * score) (Platt 1999)."""

    intercept: float
    slope: float

    def log_odds(self, scores: Floats) -> Floats:
        """Return the log odds of each."""
        return self.intercept + self.slope * scores

    def of(self, scores: Floats) -> Floats:
        """Return the probability of each, 0 to 1."""
        return np.asarray(expit(self.log_odds(scores)), float)


def platt_of(scores: Floats, right: npt.NDArray[np.generic], weight: Floats | None = None) -> Platt:
    """Fit the two numbers by maximum likelihood; all arrays (n), `right` 0 or 1 each.

    Raises:
        ValueError: all are right, or none is.
    """
    model = LogisticRegression(C=1e6, max_iter=1000).fit(scores[:, None], right.astype(int), weight)
    return Platt(float(model.intercept_[0]), float(model.coef_[0, 0]))


class Bin(Contract):
    """Decisions of about the same confidence: how many, its mean, and the share that is right."""

    n: int
    confidence: float
    right: float


def brier_score(confidences: Sequence[float], right: Sequence[float]) -> float:
    """Return the mean squared difference, in [0, 1], 0 is best (Brier 1950). `right` is 0 or 1 each."""
    return sum((c - r) ** 2 for c, r in zip(confidences, right, strict=True)) / len(right)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean, weighted by size, of how far each bin's confidence is from its share of right ones."""
    return sum(each.n * abs(each.confidence - each.right) for each in bins) / sum(each.n for each in bins)


def equal_mass_bins(confidences: Sequence[float], right: Sequence[float]) -> tuple[Bin, ...]:
    """Return at most `BINS` bins of decisions in the order of confidence, as many in each as can be.

    Equal mass rather than equal width: with few decisions at one end, an equally wide bin there says nothing
    (Nguyen and O'Connor 2015, "Posterior calibration and exploratory analysis").
    """
    order = np.argsort(
        np.asarray(confidences), kind="stable"
    )  # not by outcome: ties sort nothing right first
    return tuple(
        Bin(
            n=len(part),
            confidence=sum(confidences[i] for i in part) / len(part),
            right=float(sum(right[i] for i in part)) / len(part),
        )
        for part in np.array_split(order, BINS)
        if len(part)
    )
