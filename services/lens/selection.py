"""Choosing the one program without an answer key: a pure function over the journal.

First version: programs that pass every public example, else the ones that pass most; ties by energy where
there is one, then by mean log-probability, then by the order in which they were drawn. Nothing here has ever
seen a hidden test; agreement on generated inputs comes with its own issue.
"""

from __future__ import annotations

from atlas.contracts import Basis, Candidate, Energy, Evidence
from atlas.errors import BadInput
from atlas.events import TaskDecided
from atlas.pipeline import programs, survivors
from atlas.state import TaskState


def select(state: TaskState, command: str) -> TaskDecided:
    """Return the decision.

    Raises:
        BadInput: if no candidate holds a program.
    """
    candidates = programs(state)
    if not candidates:
        raise BadInput("there is no program to choose from")
    best = min(candidates, key=lambda c: _rank(state, c))
    return TaskDecided(command=command, candidate=best.id, evidence=_evidence(state, best))


def _rank(state: TaskState, candidate: Candidate) -> tuple[float, float, float]:
    """Sort key, lower is better: examples not passed, energy, negative mean log-probability."""
    execution = state.executions.get(candidate.id)
    share = execution.passed / len(execution.results) if execution and execution.results else -1.0
    energy = candidate.energy.value if isinstance(candidate.energy, Energy) else float("inf")
    mean = candidate.logprob.mean if candidate.logprob else float("-inf")
    return -share, energy, -mean


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
