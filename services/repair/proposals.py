"""What every way of repair shares: the evidence a program is shown with, and what counts as a proposal."""

from __future__ import annotations

from atlas.contracts import Candidate, Contract, Verdict
from atlas.errors import BadOutput
from atlas.events import CandidateGenerated
from atlas.state import TaskState

SHOWN_FAILURES = 2
SHOWN_CHARS = 600


class Failure(Contract):
    """A public example that the program fails."""

    input: str
    expected: str
    verdict: str
    got: str


def failures(state: TaskState, candidate_id: str) -> list[Failure]:
    """Return the first public examples that a candidate fails, each text cut to 600 characters."""
    pairs = zip(state.task.problem.examples, state.executions[candidate_id].results, strict=False)
    found = [
        Failure(
            input=example.input[:SHOWN_CHARS],
            expected=example.output[:SHOWN_CHARS],
            verdict=result.verdict.value.replace("_", " "),
            got=(result.error or result.output)[:SHOWN_CHARS],
        )
        for example, result in pairs
        if result.verdict is not Verdict.ACCEPTED
    ]
    return found[:SHOWN_FAILURES]


def proposal(state: TaskState, command: str, made: Candidate) -> CandidateGenerated:
    """Return the answer to a command of repair.

    Raises:
        BadOutput: if the program was tried before.
    """
    if made.code is not None and made.code in {c.code for c in state.candidates.values()}:
        raise BadOutput("the answer is a program that was tried before")
    return CandidateGenerated(command=command, candidate=made)
