"""Clusters in the order of preference, how many independent programs agree, and which two are in contest.

Pure. Orders, by the policy's selector:

- `calibrated`: probability, then mean log-probability, then the shortest program.
- `majority` and `examples`: size, then the same.
- By either, a cluster that ended well on no usable input comes after every one that did.
- Where no program passes every public example, and for any selector: the share passed, whether it compiles,
  energy, mean log-probability, the shortest program.

Whatever is left tied goes to the one drawn first.
"""

from __future__ import annotations

from dataclasses import dataclass

from atlas.contracts import Candidate, Energy
from atlas.events import CandidatesClustered
from atlas.evidence import CandidateCluster
from atlas.pipeline import entrants
from atlas.selector import SELECTOR, SelectorWeights
from atlas.state import TaskState
from services.lens.confidence import Weighed, weigh
from services.lens.features import passed_share
from services.lens.grouping import Cluster, Groups, groups, independent, length


@dataclass(frozen=True)
class Clustering:
    """The clusters of a task, the preferred one first, and what they were compared on."""

    groups: Groups
    ranked: tuple[Weighed, ...]

    def of(self, candidate: str) -> Weighed:
        """The cluster that holds a candidate.

        Raises:
            KeyError: if none does.
        """
        for weighed in self.ranked:
            if candidate in weighed.cluster.ids:
                return weighed
        raise KeyError(candidate)


def clusters(state: TaskState, weights: SelectorWeights = SELECTOR) -> Clustering:
    """Return the clusters of the programs that could be handed back, or of all where none passes."""
    found = groups(state)
    weighed = weigh(state, found, weights)
    if not entrants(state):
        ranked = sorted(weighed, key=lambda w: min(partial_rank(state, c) for c in w.cluster.members))
    else:
        order = _by_probability if state.task.policy.selector == "calibrated" else _by_size
        ranked = sorted(weighed, key=lambda w: (not w.cluster.answers, order(w)))
    return Clustering(found, tuple(ranked))


def cluster(state: TaskState, command: str, weights: SelectorWeights = SELECTOR) -> CandidatesClustered:
    """Answer ClusterCandidates."""
    found = clusters(state, weights)
    return CandidatesClustered(
        command=command,
        clusters=tuple(
            CandidateCluster(candidates=w.cluster.ids, probability=w.probability) for w in found.ranked
        ),
        inputs=found.groups.inputs,
        agreeing=max((_agreeing(state, found.groups, w.cluster) for w in found.ranked), default=0),
        contested=_contested(state, found, weights.contest_margin),
    )


def mean_logprob(candidate: Candidate) -> float:
    """The candidate's mean log-probability; without one, below any that is known."""
    return candidate.logprob.mean if candidate.logprob else float("-inf")


def examples_rank(state: TaskState, candidate: Candidate) -> tuple[float, bool, float, float]:
    """Sort key, lower is better: examples not passed, not compiled, energy, negative mean log-probability."""
    share = passed_share(state, candidate)
    execution = state.executions.get(candidate.id)
    broken = execution is not None and not execution.compiled
    energy = candidate.energy.value if isinstance(candidate.energy, Energy) else float("inf")
    return 1.0 if share is None else -share, broken, energy, -mean_logprob(candidate)


def partial_rank(state: TaskState, candidate: Candidate) -> tuple[float, bool, float, float, int]:
    """Sort key among programs that do not pass every example: as `examples_rank`, then the shorter."""
    return (*examples_rank(state, candidate), length(candidate))


def _by_probability(weighed: Weighed) -> tuple[float, ...]:
    return -weighed.probability, *_of_equals(weighed.cluster)


def _by_size(weighed: Weighed) -> tuple[float, ...]:
    return -len(weighed.cluster.members), *_of_equals(weighed.cluster)


def _of_equals(cluster: Cluster) -> tuple[float, ...]:
    known = [c.logprob.mean for c in cluster.members if c.logprob]
    mean = sum(known) / len(known) if known else float("-inf")
    return -mean, length(cluster.program)


def _agreeing(state: TaskState, groups: Groups, cluster: Cluster) -> int:
    """Independent members that passed every example and ended well, all alike, on every usable input."""
    signature, examples = cluster.signature, state.task.problem.examples
    if not groups.inputs and not examples:
        return 0
    if groups.inputs and (signature is None or not all(signature.ok)):
        return 0
    if examples and not all(
        c.id in state.executions and state.executions[c.id].all_passed for c in cluster.members
    ):
        return 0
    return independent(state, cluster.members)


def _contested(state: TaskState, found: Clustering, margin: float) -> tuple[str, str] | None:
    """A program of each of the two leading clusters, where neither is clearly better.

    They must differ on a usable input, or there must be none: two programs nobody could compare. A cluster
    apart from the others (its program never ran on the inputs) is in no contest with them.
    """
    if len(found.ranked) < 2 or not entrants(state):
        return None
    first, second = found.ranked[:2]
    if found.groups.inputs and (first.cluster.signature is None or second.cluster.signature is None):
        return None
    if first.probability - second.probability >= margin:
        return None
    return first.cluster.program.id, second.cluster.program.id
