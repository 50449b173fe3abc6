"""Shared by the tests of the brain: a task's first steps, as events that its services could send."""

from __future__ import annotations

from histories import SAMPLING, USAGE

from atlas.contracts import Candidate, Execution, TestResult, Verdict
from atlas.events import CandidateGenerated, ExecutionFinished, TaskSubmitted
from atlas.pipeline import advance, decide
from atlas.state import TaskState

OK, WRONG = Verdict.ACCEPTED, Verdict.WRONG_ANSWER


def begin(event: TaskSubmitted) -> TaskState:
    return advance(TaskState(), [event]).state


def ids(state: TaskState) -> set[str]:
    return {command.id for command in decide(state)}


def generated(state: TaskState, index: int, code: str | None = "print(1)") -> TaskState:
    candidate = Candidate(id=f"c{index}", origin="sample", code=code, sampling=SAMPLING, usage=USAGE)
    return advance(state, [CandidateGenerated(command=f"generate:{index}", candidate=candidate)]).state


def executed(state: TaskState, index: int, *verdicts: Verdict) -> TaskState:
    return ran(state, f"c{index}", *verdicts)


def ran(state: TaskState, candidate: str, *verdicts: Verdict) -> TaskState:
    execution = Execution(
        results=tuple(TestResult(verdict=v) for v in verdicts), isolation="fake", seconds=0.0
    )
    event = ExecutionFinished(command=f"execute:{candidate}", candidate=candidate, execution=execution)
    return advance(state, [event]).state
