"""What every way of repair shares: the evidence a program is shown with, and what counts as a proposal."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.contracts import Candidate, Contract, Example, Execution, SelfTest, Verdict
from atlas.errors import BadOutput
from atlas.events import CandidateGenerated
from atlas.extract import structure
from atlas.state import TaskState

SHOWN_FAILURES = 2
SHOWN_SELF_TESTS = 1  # beside the public examples: what programs agree on is likely, not certain
SHOWN_CHARS = 600


class Failure(Contract):
    """A public example that the program fails, or a self-test (`agreed`: programs that gave its output)."""

    input: str
    expected: str
    verdict: str
    got: str
    agreed: int = 0


def failures(state: TaskState, candidate_id: str, public: int = SHOWN_FAILURES) -> list[Failure]:
    """Return the first `public` examples that a candidate fails, then the shortest self-test that it fails.

    Each text is cut to 600 characters.
    """
    found = _failed(state.task.problem.examples, state.executions[candidate_id])[:public]
    if ran := state.self_test_runs.get(candidate_id):
        found += _failed(state.self_tests, ran)[:SHOWN_SELF_TESTS]
    return found


def _failed(tests: Sequence[Example | SelfTest], execution: Execution) -> list[Failure]:
    return [
        Failure(
            input=test.input[:SHOWN_CHARS],
            expected=test.output[:SHOWN_CHARS],
            verdict=result.verdict.value.replace("_", " "),
            got=(result.error or result.output)[:SHOWN_CHARS],
            agreed=len(test.agreed) if isinstance(test, SelfTest) else 0,
        )
        for test, result in zip(tests, execution.results, strict=False)
        if result.verdict is not Verdict.ACCEPTED
    ]


def proposal(state: TaskState, command: str, made: Candidate) -> CandidateGenerated:
    """Return the answer to a command of repair.

    Raises:
        BadOutput: if the program was tried before, as a candidate or a brute-force program, be it with other
            comments or formatting.
    """
    tried = [*(c.code for c in state.candidates.values()), *state.brute_forces.values()]
    known = {structure(code) for code in tried if code is not None}
    if made.code is not None and structure(made.code) in known:
        raise BadOutput("the answer is a program that was tried before")
    return CandidateGenerated(command=command, candidate=made)
