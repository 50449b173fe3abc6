"""The REST contracts of the gateway: what clients send and get. Shared with the CLI and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from atlas.commands import AnyCommand, Priority
from atlas.contracts import Contract, Problem, Usage
from atlas.events import (
    CandidateProbed,
    Entry,
    TaskAbstained,
    TaskCancelled,
    TaskDecided,
    TaskFailed,
)
from atlas.evidence import Evidence
from atlas.policy import Part, Policy
from atlas.state import TaskState, fold

Status = Literal["running", "decided", "abstained", "failed", "cancelled"]


class SubmitRequest(Contract):
    """`POST /v1/tasks`. `policy`: a name (`GET /v1/policies`) or a whole one.

    `seed` and `abstain_below` override the policy's.
    """

    problem: Problem
    policy: str | Policy = "full"
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    abstain_below: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="hand back no program where the confidence is lower; 0: always hand one back",
    )
    priority: Priority = "p1"
    deadline_s: float | None = Field(default=None, gt=0, le=86_400)


class CommandFailure(Contract):
    """A command that ended without a result; `infrastructure` when the machinery was at fault."""

    command: str
    reason: str
    detail: str
    infrastructure: bool


class TaskView(Contract):
    """`GET /v1/tasks/{id}`: where a task is, and in the end its one program with the evidence.

    `program` is the letter chosen where the problem is multiple choice (evidence basis `majority_vote`).
    An `abstained` task hands back none: `evidence` is that of the best program, whose confidence is below the
    policy's `abstain_below`, and `error` says so.
    `seconds` runs from submission to the end (or the last event); `model_s` and `executor_s` are the parts
    of it spent inside llama-server (its own timings) and the sandbox executor.
    """

    id: str
    status: Status
    policy: str
    model: str
    priority: Priority
    submitted_at: float
    seconds: float
    events: int
    usage: Usage
    late_tokens: int = 0
    model_s: float = 0.0
    executor_s: float = 0.0
    deadline_reached: bool = False
    deadline_missed: bool = Field(default=False, description="the services were down when it was reached")
    missing: tuple[Part, ...] = Field(default=(), description="parts of the policy it runs without")
    program: str | None = None
    candidate: str | None = None
    evidence: Evidence | None = None
    error: str | None = None
    infrastructure: bool = False
    failures: tuple[CommandFailure, ...] = ()


class DeadLetter(Contract):
    """`GET /v1/dead-letters/{id}`: a command that was given up after too many deliveries.

    Its task has gone on without it, or has failed. `time` is Redis's clock in seconds.
    """

    id: str
    task: str
    time: float
    service: str
    command: AnyCommand
    detail: str = ""


class DeadLetterList(Contract):
    """`GET /v1/dead-letters`, oldest first; pass `next_after` as `after` for the next page."""

    letters: tuple[DeadLetter, ...]
    next_after: str | None = None


class QueueStatus(Contract):
    """One service's queues: commands nobody has taken, those in a worker's hands, and living workers.

    A worker lives that Redis heard of in the last minute (before Redis 7.2 only those that had work).
    """

    service: str
    waiting: int
    running: int
    workers: int


class StackStatus(Contract):
    """`GET /v1/status`: the whole stack as the gateway sees it. `problems` as in /readyz."""

    version: str
    model: str | None
    problems: dict[str, str]
    queues: tuple[QueueStatus, ...]
    open_tasks: int
    dead_letters: int


class TaskList(Contract):
    """`GET /v1/tasks`, newest first; pass `next_before` as `before` for the next page."""

    tasks: tuple[TaskView, ...]
    next_before: float | None = None


def view(task: str, entries: Sequence[Entry], late_tokens: int = 0) -> TaskView:
    """Return a task as its (non-empty) journal tells it.

    Raises:
        InvalidHistory: if the journal is not a valid history.
    """
    state = fold(TaskState(), entries)
    submitted = state.task
    program = None
    if isinstance(state.closed, TaskDecided):
        program = state.candidates[state.closed.candidate].code
    return TaskView(
        id=task,
        status=_status(state),
        policy=submitted.policy.name,
        model=submitted.pins.model,
        priority=submitted.priority,
        submitted_at=entries[0].time,
        seconds=entries[-1].time - entries[0].time,
        events=state.seq,
        usage=state.usage,
        late_tokens=late_tokens,
        model_s=sum(call.server_s for call in state.calls.values()),
        executor_s=_executor_s(state, entries),
        deadline_reached=state.deadline_reached,
        deadline_missed=state.deadline_missed,
        missing=submitted.missing,
        program=program,
        candidate=state.closed.candidate if isinstance(state.closed, TaskDecided) else None,
        evidence=state.closed.evidence if isinstance(state.closed, (TaskDecided, TaskAbstained)) else None,
        error=_error(state),
        infrastructure=isinstance(state.closed, TaskFailed) and state.closed.infrastructure,
        failures=tuple(
            CommandFailure(
                command=command,
                reason=failure.reason,
                detail=failure.detail,
                infrastructure=failure.infrastructure,
            )
            for command, failure in state.failures.items()
        ),
    )


def _status(state: TaskState) -> Status:
    if state.closed is None:
        return "running"
    if isinstance(state.closed, TaskCancelled):
        return "cancelled"
    if isinstance(state.closed, TaskAbstained):
        return "abstained"
    return "decided" if isinstance(state.closed, TaskDecided) else "failed"


def _error(state: TaskState) -> str | None:
    if isinstance(state.closed, TaskAbstained):
        why = doubt(state.closed.evidence.confidence, state.task.policy.abstain_below)
        return f"abstained: {why}; ask again with a lower abstain_below, or a larger policy"
    return state.closed.reason if isinstance(state.closed, TaskFailed) else None


def doubt(confidence: float | None, least: float) -> str:
    """Say why a task abstained: `confidence 0.31 is below 0.50`, with digits enough to tell the two apart."""
    if confidence is None:  # no task of this version abstains without one
        return f"no confidence reaches {least:.2f}"
    digits = next((n for n in range(2, 6) if f"{confidence:.{n}f}" != f"{least:.{n}f}"), 6)
    return f"confidence {confidence:.{digits}f} is below {least:.{digits}f}"


def _executor_s(state: TaskState, entries: Sequence[Entry]) -> float:
    probing = sum(each.event.seconds for each in entries if isinstance(each.event, CandidateProbed))
    return probing + sum(execution.seconds for execution in state.executions.values())
