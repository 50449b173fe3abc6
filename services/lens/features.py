"""Features of a cluster: what the calibrated selector knows about it. Pure; every value is finite.

Each feature's meaning and range stands where it is computed; their names are `atlas.selector.FEATURES`. They
are meant to be monotone: more of it should speak the same way everywhere. What is not known is 0.

All are about the cluster among the task's others. What a problem is like (how long its programs are, how many
examples it lists, which share of candidates passes them) tells one data set from another, and a model that
knows it says of easy problems what was true of the hard ones it was fitted to: docs/SELECTION.md has figures.
"""

from __future__ import annotations

import math

from atlas.contracts import Candidate, Energy
from atlas.pipeline import survivors
from atlas.state import TaskState
from services.lens.grouping import Cluster, Groups, independent

LEAST_LOGPROB = -3.0
MOST_ENERGY = 10.0


def features(state: TaskState, groups: Groups, cluster: Cluster) -> dict[str, float]:
    """Return a cluster's features by name, those of `atlas.selector.FEATURES` and no others."""
    return {
        **_on_examples(state, cluster),
        # Of all candidates that could be handed back, above 0 to 1.
        "size_share": len(cluster.members) / groups.size,
        # log(1 + members that came about independently), 0 to 4.4.
        "log_independent": math.log1p(independent(state, cluster.members)),
        # Of the model's readings of the statement, how far above half they are for this cluster, -0.5 to 0.5.
        "reading_lead": _reading_lead(state, cluster),
        **_of_programs(groups, cluster),
    }


def passed_share(state: TaskState, candidate: Candidate) -> float | None:
    """Share of the public examples that the candidate passed, 0 to 1; None if it was not run on any."""
    execution = state.executions.get(candidate.id)
    if execution is None or not execution.results:
        return None
    return execution.passed / execution.total


def _on_examples(state: TaskState, cluster: Cluster) -> dict[str, float]:
    shares = [share for c in cluster.members if (share := passed_share(state, c)) is not None]
    return {
        # The best member's share of the public examples, 0 to 1.
        "examples_passed": max(shares, default=0.0),
        # 0 or 1: programs were run on them, and none passes them all.
        "no_survivor": float(bool(shares) and not survivors(state)),
    }


def _reading_lead(state: TaskState, cluster: Cluster) -> float:
    if state.read is None or not sum(state.read.votes):
        return 0.0
    here = [name in cluster.ids for name in state.read.between]
    if sum(here) != 1:  # neither, or both: it was no question of this cluster or another
        return 0.0
    return state.read.votes[here.index(True)] / sum(state.read.votes) - 0.5


def _of_programs(groups: Groups, cluster: Cluster) -> dict[str, float]:
    own, sureness = _sureness(cluster), [s for c in groups.clusters if (s := _sureness(c)) is not None]
    energies = _energies(cluster)
    lowest = min((energy for c in groups.clusters for energy in _energies(c)), default=0.0)
    return {
        # How much surer the model was of this cluster than of all on the average, -3 to 3.
        "logprob_over": own - sum(sureness) / len(sureness) if own is not None else 0.0,
        # 0 or 1: a member has an energy.
        "has_energy": float(bool(energies)),
        # How much its lowest is above that of all clusters, 0 to 10: energies compare programs of one task.
        "energy": min(min(energies) - lowest, MOST_ENERGY) if energies else 0.0,
    }


def _sureness(cluster: Cluster) -> float | None:
    """Mean of the members' mean log-probabilities, -3 to 0; None where none is known."""
    means = [max(c.logprob.mean, LEAST_LOGPROB) for c in cluster.members if c.logprob]
    return sum(means) / len(means) if means else None


def _energies(cluster: Cluster) -> list[float]:
    return [c.energy.value for c in cluster.members if isinstance(c.energy, Energy)]
