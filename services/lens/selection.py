"""Choosing the one program without an answer key: a pure function over the journal.

First version: programs that pass every public example, else the ones that pass most; ties by energy where
there is one, then by mean log-probability, then by the order in which they were drawn. Nothing here has ever
seen a hidden test; agreement on generated inputs comes with its own issue.

Letters of a `choice` problem are put to the vote: most candidates, then the candidates' mean log-probability
(self-consistency, Wang et al. 2022, arXiv:2203.11171, which votes over final answers in the same way).
"""

from __future__ import annotations

from collections import Counter

from atlas.contracts import Basis, Candidate, Energy, Evidence
from atlas.errors import BadInput
from atlas.events import TaskDecided
from atlas.pipeline import programs, survivors
from atlas.state import TaskState


def select(state: TaskState, command: str) -> TaskDecided:
    """Return the decision.

    Raises:
        BadInput: if no candidate holds a program or a letter.
    """
    candidates = programs(state)
    if not candidates:
        raise BadInput("there is no program to choose from")
    if state.task.problem.kind == "choice":
        return _voted(state, command, candidates)
    best = min(candidates, key=lambda c: _rank(state, c))
    return TaskDecided(command=command, candidate=best.id, evidence=_evidence(state, best))


def _rank(state: TaskState, candidate: Candidate) -> tuple[float, float, float]:
    """Sort key, lower is better: examples not passed, energy, negative mean log-probability."""
    execution = state.executions.get(candidate.id)
    share = execution.passed / len(execution.results) if execution and execution.results else -1.0
    energy = candidate.energy.value if isinstance(candidate.energy, Energy) else float("inf")
    return -share, energy, -_mean(candidate)


def _voted(state: TaskState, command: str, candidates: list[Candidate]) -> TaskDecided:
    """The letter with most votes; of its candidates the one the model was surest of stands for it."""
    votes = Counter(str(c.code) for c in candidates)

    def sureness(letter: str) -> float:
        known = [_mean(c) for c in candidates if c.code == letter]
        return sum(known) / len(known)

    order = sorted(votes, key=lambda letter: (-votes[letter], -sureness(letter)))  # stable: first drawn first
    best = max((c for c in candidates if c.code == order[0]), key=_mean)
    evidence = Evidence(
        basis="majority_vote",
        public_passed=0,
        public_total=0,
        candidates=len(state.candidates),
        survivors=0,
        mean_logprob=best.logprob.mean if best.logprob else None,
        votes={letter: votes[letter] for letter in order},
    )
    return TaskDecided(command=command, candidate=best.id, evidence=evidence)


def _mean(candidate: Candidate) -> float:
    return candidate.logprob.mean if candidate.logprob else float("-inf")


def _evidence(state: TaskState, best: Candidate) -> Evidence:
    execution = state.executions.get(best.id)
    return Evidence(
        basis=_basis(state, best),
        public_passed=execution.passed if execution else 0,
        public_total=len(state.task.problem.examples),
        candidates=len(state.candidates),
        survivors=len(survivors(state)),
        energy=best.energy,
        mean_logprob=best.logprob.mean if best.logprob else None,
        isolation=execution.isolation if execution else None,
    )


def _basis(state: TaskState, best: Candidate) -> Basis:
    execution = state.executions.get(best.id)
    if not state.task.problem.examples:
        return "no_public_examples"
    if execution is None:
        return "not_executed"
    return "passed_public_examples" if execution.all_passed else "best_partial"
