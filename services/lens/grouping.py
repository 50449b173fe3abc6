"""Groups of candidates that did the same, and what they were compared on. Pure.

Programs vote by what they gave when run, never by their text. Where nothing tells programs apart (no usable
input, or a program apart: see `services/lens/signatures.py`) a group is the candidates of one text, which
would do the same whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlas.comparing import distinct
from atlas.contracts import Candidate
from atlas.evidence import Comparison
from atlas.pipeline import entrants, programs
from atlas.state import TaskState
from services.lens.signatures import Signature, signatures


@dataclass(frozen=True)
class Cluster:
    """Candidates that did the same, in the order they were drawn. `signature`: None where not compared."""

    members: tuple[Candidate, ...]
    signature: Signature | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The members' ids."""
        return tuple(c.id for c in self.members)

    @property
    def program(self) -> Candidate:
        """The one that stands for the others: the shortest, of these the first drawn."""
        return min(self.members, key=length)

    @property
    def answers(self) -> bool:
        """Whether it ended well anywhere it was compared; true if it was not compared."""
        return self.signature is None or any(self.signature.ok)


@dataclass(frozen=True)
class Groups:
    """Every cluster of a task, first drawn first; `inputs`: how many usable ones they were compared on."""

    clusters: tuple[Cluster, ...]
    comparison: Comparison
    inputs: int = 0

    @property
    def size(self) -> int:
        """How many candidates there are in all clusters."""
        return sum(len(c.members) for c in self.clusters)


def length(candidate: Candidate) -> int:
    """Characters of the candidate's code."""
    return len(candidate.code or "")


def groups(state: TaskState) -> Groups:
    """Group the programs that could be handed back: the entrants, or every program where there is none."""
    candidates = entrants(state)
    if not candidates:
        by_text = _grouped(programs(state), None)
        return Groups(by_text, "no_survivor" if state.compares else "not_asked")
    if not state.compares:
        return Groups(_grouped(candidates, None), "not_asked")
    if len(distinct(candidates)) == 1:
        return Groups(_grouped(candidates, None), "one_program")
    found = signatures(state, candidates)
    if not found.inputs:
        return Groups(_grouped(candidates, None), "no_usable_inputs")
    by_signature = _grouped(
        candidates, {text: found.of.get(text) for text in {c.code or "" for c in candidates}}
    )
    return Groups(by_signature, "compared", found.inputs)


def independent(state: TaskState, members: Sequence[Candidate]) -> int:
    """How many of the candidates came about independently of each other.

    Plain samples do, each of them a draw of its own (at temperature 0 they are all one). Those that follow
    equal plans count once, and a repair never does: it was made from another.
    """
    origins: set[object] = set()
    for candidate in members:
        if not candidate.first_hand:
            continue
        plan = candidate.plan
        if plan is not None:
            origins.add(state.plans[plan] if plan < len(state.plans) else plan)
        else:
            origins.add(candidate.id if candidate.sampling.temperature > 0 else "temperature 0")
    return len(origins)


def _grouped(
    candidates: Sequence[Candidate], found: dict[str, Signature | None] | None
) -> tuple[Cluster, ...]:
    members: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        text = candidate.code or ""
        members.setdefault((found and found[text]) or text, []).append(candidate)
    return tuple(
        Cluster(tuple(of), key if isinstance(key, Signature) else None) for key, of in members.items()
    )
