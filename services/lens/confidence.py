"""How likely each cluster is right: the calibrated selector's probability, from its features. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atlas.selector import SelectorWeights
from atlas.state import TaskState
from services.lens.features import features
from services.lens.grouping import Cluster, Groups


@dataclass(frozen=True)
class Weighed:
    """A cluster, the probability (0 to 1) that its program is right, and the features it follows from."""

    cluster: Cluster
    probability: float
    features: Mapping[str, float]


def weigh(state: TaskState, groups: Groups, weights: SelectorWeights) -> list[Weighed]:
    """Return the clusters with their probabilities, first drawn first.

    Each is weighed by itself: the probabilities of a task need not add up to 1, since no program may be
    right, or programs of several clusters (a problem may accept several answers).
    """
    found = []
    for cluster in groups.clusters:
        of = features(state, groups, cluster)
        found.append(Weighed(cluster, weights.probability(of), of))
    return found
