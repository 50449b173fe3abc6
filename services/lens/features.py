"""Features of a cluster: what the calibrated selector knows about it. Pure; every value is finite.

Each feature's meaning and range stands where it is computed; their names are `atlas.selector.FEATURES`. A
value that may be missing is 0 beside an indicator that says so: no sentinel stands for it. They are meant to
be monotone: more of it should speak the same way everywhere.

Two are votes. `input_agreement`: on each input the share of compared programs that gave what this cluster
gave, so near-agreement counts too. `distinguishing_votes`: the same on the inputs that were written to tell
the two leading clusters apart (S*, Li et al. 2025), where the programs' outputs vote instead of a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from atlas.contracts import Candidate, Energy
from atlas.pipeline import survivors
from atlas.state import TaskState
from services.lens.grouping import Cluster, Groups, independent, length

LEAST_LOGPROB = -3.0
MOST_ENERGY = 10.0


def features(state: TaskState, groups: Groups, cluster: Cluster) -> dict[str, float]:
    """Return a cluster's features by name, those of `atlas.selector.FEATURES` and no others."""
    return {
        **_on_examples(state, groups, cluster),
        **_sizes(state, groups, cluster),
        **_on_inputs(groups, cluster),
        **_read(state, cluster),
        **_of_programs(groups, cluster),
    }


def passed_share(state: TaskState, candidate: Candidate) -> float | None:
    """Share of the public examples that the candidate passed, 0 to 1; None if it was not run on any."""
    execution = state.executions.get(candidate.id)
    if execution is None or not execution.results:
        return None
    return execution.passed / execution.total


def _on_examples(state: TaskState, groups: Groups, cluster: Cluster) -> dict[str, float]:
    shares = [share for c in cluster.members if (share := passed_share(state, c)) is not None]
    ran = bool(shares)
    passed = survivors(state)
    return {
        # 0 or 1: a member was run on public examples.
        "has_examples": float(ran),
        # log(1 + how many there are), 0 to 3.9.
        "log_examples": math.log1p(len(state.task.problem.examples)) if ran else 0.0,
        # The best member's share of them, 0 to 1.
        "examples_passed": max(shares, default=0.0),
        # Share of all candidates that pass them all, 0 to 1: how hard the problem is for the model.
        "survivor_share": len(passed) / len(state.candidates),
        # 0 or 1: programs were run, and none passes them all.
        "no_survivor": float(ran and not passed),
        # 0 or 1: there is one program text, which nothing can be compared with.
        "one_program": float(len({c.code for of in groups.clusters for c in of.members}) == 1),
    }


def _sizes(state: TaskState, groups: Groups, cluster: Cluster) -> dict[str, float]:
    size = len(cluster.members)
    largest_other = max((len(c.members) for c in groups.clusters if c is not cluster), default=0)
    return {
        # Of all candidates that could be handed back, above 0 to 1.
        "size_share": size / groups.size,
        # log(members), 0 to 4.4.
        "log_size": math.log(size),
        # 0 or 1: no other is larger.
        "is_largest": float(size >= largest_other),
        # Lead over the largest other, in shares, -1 to 1.
        "margin": (size - largest_other) / groups.size,
        # log(1 + members that came about independently), 0 to 4.4.
        "log_independent": math.log1p(independent(state, cluster.members)),
        # Different texts a member, above 0 to 1: 1 where each says it in its own words.
        "text_share": len({c.code for c in cluster.members}) / size,
    }


def _on_inputs(groups: Groups, cluster: Cluster) -> dict[str, float]:
    signature = cluster.signature
    rivals = [(c.signature, len(c.members)) for c in groups.clusters if c.signature is not None]
    voters = sum(size for _, size in rivals)

    def votes(inputs: Sequence[int]) -> float:
        """Mean share of compared programs that gave the same; an input it fails on has no vote for it."""
        if signature is None or not inputs:
            return 0.0
        found = [
            sum(size for other, size in rivals if other.kinds[i] == signature.kinds[i]) / voters
            for i in inputs
            if signature.ok[i]
        ]
        return sum(found) / len(inputs)

    every = range(len(groups.rounds))
    written_for_it = [i for i in every if groups.rounds[i] > 0]
    return {
        # 0 or 1: it was compared with others, on a usable input.
        "compared": float(signature is not None),
        # log(1 + usable inputs), 0 to 5.8.
        "log_inputs": math.log1p(len(groups.rounds)) if signature else 0.0,
        # Share of the usable inputs on which it ended well, 0 to 1.
        "ok_share": sum(signature.ok) / len(signature.ok) if signature else 0.0,
        # Both 0 to 1; see above.
        "input_agreement": votes(every),
        "was_distinguished": float(signature is not None and bool(written_for_it)),
        "distinguishing_votes": votes(written_for_it),
    }


def _read(state: TaskState, cluster: Cluster) -> dict[str, float]:
    """Whether the model was asked to read the statement for this cluster; its votes for it, 0 to 1."""
    none = {"was_read": 0.0, "reading_votes": 0.0}
    if state.read is None or not sum(state.read.votes):
        return none
    here = [name in cluster.ids for name in state.read.between]
    if sum(here) != 1:  # neither, or both: it was no question of this cluster or another
        return none
    return {"was_read": 1.0, "reading_votes": state.read.votes[here.index(True)] / sum(state.read.votes)}


def _of_programs(groups: Groups, cluster: Cluster) -> dict[str, float]:
    """What programs are like, each measure as the task's own level and how far the cluster is from it."""
    own, sureness = _sureness(cluster), [s for c in groups.clusters if (s := _sureness(c)) is not None]
    level = sum(sureness) / len(sureness) if sureness else 0.0
    lengths = [math.log1p(length(c.program)) for c in groups.clusters]
    typical = sum(lengths) / len(lengths)
    energies = _energies(cluster)
    lowest = min((energy for c in groups.clusters for energy in _energies(c)), default=0.0)
    return {
        # 0 or 1: log-probabilities are known.
        "has_logprob": float(own is not None),
        # Mean over the clusters of their members' mean log-probability, -3 to 0: how sure the model is here.
        "task_logprob": level if own is not None else 0.0,
        # How much surer it was of this cluster, -3 to 3.
        "logprob_over": own - level if own is not None else 0.0,
        # 0 or 1: a member has an energy.
        "has_energy": float(bool(energies)),
        # How much its lowest is above that of all clusters, 0 to 10: energies compare programs of one task.
        "energy": min(min(energies) - lowest, MOST_ENERGY) if energies else 0.0,
        # Mean over the clusters of log(1 + characters of the shortest program), 0 to 11.1: long programs are
        # of difficult problems, which says nothing about two programs of one problem.
        "task_length": typical,
        # How much longer this cluster's is, -11.1 to 11.1.
        "length_over": math.log1p(length(cluster.program)) - typical,
    }


def _sureness(cluster: Cluster) -> float | None:
    """Mean of the members' mean log-probabilities, -3 to 0; None where none is known."""
    means = [max(c.logprob.mean, LEAST_LOGPROB) for c in cluster.members if c.logprob]
    return sum(means) / len(means) if means else None


def _energies(cluster: Cluster) -> list[float]:
    return [c.energy.value for c in cluster.members if isinstance(c.energy, Energy)]
