"""`TaskState = fold(events)`: what a journal says, and nothing else.

Pure. The fold is also the judge of a journal: an order of events that could not have happened is an
`InvalidHistory`, so every reader checks promise 3 (*nothing lost*, nothing twice) as it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import TypeVar

from atlas.contracts import Candidate, Execution, Plan, SelfTest, Usage
from atlas.errors import AtlasError
from atlas.events import (
    ANSWERS,
    AnyEvent,
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    CandidateProbed,
    CandidatesClustered,
    CandidateScored,
    CommandFailed,
    CommandsIssued,
    CommandsRevoked,
    DeadlineReached,
    Entry,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    ModelCallFinished,
    PlanMade,
    SelfTestsMade,
    SelfTestsRun,
    StatementRead,
    TaskAbstained,
    TaskCancelled,
    TaskDecided,
    TaskFailed,
    TaskSubmitted,
)
from atlas.generated_inputs import ProbedRun, WrittenInputs
from atlas.policy import Part

K = TypeVar("K")
V = TypeVar("V")


class InvalidHistory(AtlasError):
    """The journal holds an event that could not have followed the ones before it."""


@dataclass(frozen=True)
class TaskState:
    """A task as its journal tells it.

    Mappings are keyed by candidate, call or command id; `written` and `inputs` by round, `probes` by round
    and candidate. `clustered` is the last clustering; `brute_forces` are programs by name;
    `prompt_difficulty` is what a score told of the problem.
    """

    seq: int = 0
    submitted: TaskSubmitted | None = None
    plans: tuple[Plan, ...] = ()
    candidates: Mapping[str, Candidate] = field(default_factory=dict)
    executions: Mapping[str, Execution] = field(default_factory=dict)
    written: Mapping[int, WrittenInputs] = field(default_factory=dict)
    inputs: Mapping[int, InputsMade] = field(default_factory=dict)
    probes: Mapping[tuple[int, str], tuple[ProbedRun, ...]] = field(default_factory=dict)
    clustered: CandidatesClustered | None = None
    read: StatementRead | None = None
    prompt_difficulty: float | None = None
    brute_forces: Mapping[str, str] = field(default_factory=dict)
    brute_force_checks: Mapping[str, Execution] = field(default_factory=dict)
    self_tests: tuple[SelfTest, ...] = ()
    self_test_runs: Mapping[str, Execution] = field(default_factory=dict)
    calls: Mapping[str, ModelCallFinished] = field(default_factory=dict)
    issued: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    failures: Mapping[str, CommandFailed] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    server: str | None = None
    deadline_reached: bool = False
    deadline_missed: bool = False
    closed: TaskDecided | TaskAbstained | TaskFailed | TaskCancelled | None = None

    @property
    def open(self) -> frozenset[str]:
        """Commands issued and neither answered nor revoked."""
        return self.issued - self.answered - self.revoked

    @property
    def task(self) -> TaskSubmitted:
        """The submission.

        Raises:
            InvalidHistory: on an empty journal.
        """
        if self.submitted is None:
            raise InvalidHistory("the journal is empty")
        return self.submitted

    @property
    def compares(self) -> bool:
        """Whether the policy compares programs, and the problem's programs can be run on inputs."""
        return self.task.policy.inputs > 0 and self.task.problem.kind in ("stdin", "function")

    @property
    def is_choice(self) -> bool:
        """Whether an answer is the letter of a choice, and no program."""
        return self.task.problem.kind == "choice"

    @property
    def executes(self) -> bool:
        """Whether programs are run on public examples."""
        return self.task.policy.execute and bool(self.task.problem.examples)

    @property
    def scores(self) -> bool:
        """Whether programs get an energy."""
        weighed = Part.LENS in self.task.policy.extras and self.task.pins.lens_weights is not None
        return weighed and not self.is_choice

    def done(self, command: str) -> bool:
        """Whether a command needs no more work: answered or revoked."""
        return command in self.answered or command in self.revoked


def fold(state: TaskState, entries: Iterable[Entry]) -> TaskState:
    """Apply journal entries in order.

    Raises:
        InvalidHistory: on a gap, or on an event that could not have followed.
    """
    for entry in entries:
        if entry.seq != state.seq + 1:
            raise InvalidHistory(f"entry {entry.seq} follows {state.seq}")
        state = apply(state, entry.event)
    return state


def apply(state: TaskState, event: AnyEvent) -> TaskState:
    """Return the state after one more event.

    Raises:
        InvalidHistory: if the event could not have followed.
    """
    if isinstance(event, TaskSubmitted) != (state.seq == 0):
        raise InvalidHistory(f"{event.type} at position {state.seq + 1}")
    if state.closed and not isinstance(event, CommandsRevoked):
        raise InvalidHistory(f"{event.type} after {state.closed.type}")
    if isinstance(event, ANSWERS):
        state = _answer(state, event)
    return replace(_apply(event, state), seq=state.seq + 1)


def _answer(state: TaskState, event: AnyEvent) -> TaskState:
    """Mark the event's command answered; several CandidateGenerated may answer one Generate."""
    command = event.command
    same = isinstance(event, CandidateGenerated) and command in state.answered
    if command is None or (command not in state.open and not same):
        raise InvalidHistory(f"{event.type} answers {command}, which is not open")
    return replace(state, answered=state.answered | {command})


def _put(mapping: Mapping[K, V], key: K, value: V, *, new: bool = True) -> Mapping[K, V]:
    if new and key in mapping:
        raise InvalidHistory(f"{key} is recorded twice")
    return {**mapping, key: value}


@singledispatch
def _apply(event: object, state: TaskState) -> TaskState:
    raise TypeError(f"no rule for {type(event).__name__}")


@_apply.register
def _submitted(event: TaskSubmitted, state: TaskState) -> TaskState:
    return replace(state, submitted=event)


@_apply.register
def _issued(event: CommandsIssued, state: TaskState) -> TaskState:
    if again := state.issued & set(event.ids):
        raise InvalidHistory(f"issued twice: {sorted(again)}")
    return replace(state, issued=state.issued | set(event.ids))


@_apply.register
def _revoked(event: CommandsRevoked, state: TaskState) -> TaskState:
    if strange := set(event.ids) - state.open:
        raise InvalidHistory(f"revoked but not open: {sorted(strange)}")
    return replace(state, revoked=state.revoked | set(event.ids))


@_apply.register
def _failed(event: CommandFailed, state: TaskState) -> TaskState:
    return replace(state, failures=_put(state.failures, str(event.command), event))


@_apply.register
def _called(event: ModelCallFinished, state: TaskState) -> TaskState:
    usage = sum((choice.usage for choice in event.choices), state.usage)
    # An answer of a pool has no slot: its server holds no prefix.
    server = state.server if event.slot is None else event.server
    # Vectors stay in the journal: states are kept by the hundred, and no decision reads any.
    choices = tuple(choice.model_copy(update={"span": None}) for choice in event.choices)
    event = event.model_copy(update={"choices": choices})
    calls = _put(state.calls, event.call, event)
    return replace(state, calls=calls, usage=usage, server=server)


@_apply.register
def _planned(event: PlanMade, state: TaskState) -> TaskState:
    return replace(state, plans=event.plans)


@_apply.register
def _generated(event: CandidateGenerated, state: TaskState) -> TaskState:
    return replace(state, candidates=_put(state.candidates, event.candidate.id, event.candidate))


@_apply.register
def _scored(event: CandidateScored, state: TaskState) -> TaskState:
    scored = state.candidates[event.candidate].model_copy(update={"energy": event.energy})
    told = state.prompt_difficulty if event.difficulty is None else event.difficulty
    candidates = _put(state.candidates, event.candidate, scored, new=False)
    return replace(state, candidates=candidates, prompt_difficulty=told)


@_apply.register
def _executed(event: ExecutionFinished, state: TaskState) -> TaskState:
    return replace(state, executions=_put(state.executions, event.candidate, event.execution))


@_apply.register
def _written(event: InputsWritten, state: TaskState) -> TaskState:
    return replace(state, written=_put(state.written, event.round, event.written))


@_apply.register
def _made(event: InputsMade, state: TaskState) -> TaskState:
    return replace(state, inputs=_put(state.inputs, event.round, event))


@_apply.register
def _probed(event: CandidateProbed, state: TaskState) -> TaskState:
    of_round = state.inputs.get(event.round)
    if of_round is None or len(event.runs) != len(of_round.inputs):
        raise InvalidHistory(f"{len(event.runs)} runs are not those of round {event.round}")
    return replace(state, probes=_put(state.probes, (event.round, event.candidate), event.runs))


@_apply.register
def _clustered(event: CandidatesClustered, state: TaskState) -> TaskState:
    return replace(state, clustered=event)


@_apply.register
def _read(event: StatementRead, state: TaskState) -> TaskState:
    return replace(state, read=event)


@_apply.register
def _brute_force(event: BruteForceWritten, state: TaskState) -> TaskState:
    return replace(state, brute_forces=_put(state.brute_forces, event.program, event.code))


@_apply.register
def _brute_force_checked(event: BruteForceChecked, state: TaskState) -> TaskState:
    checks = _put(state.brute_force_checks, event.program, event.execution)
    return replace(state, brute_force_checks=checks)


@_apply.register
def _self_tests(event: SelfTestsMade, state: TaskState) -> TaskState:
    return replace(state, self_tests=event.tests)


@_apply.register
def _self_tests_run(event: SelfTestsRun, state: TaskState) -> TaskState:
    return replace(state, self_test_runs=_put(state.self_test_runs, event.candidate, event.execution))


@_apply.register
def _deadline(event: DeadlineReached, state: TaskState) -> TaskState:
    if state.deadline_reached:
        raise InvalidHistory("the deadline is reached twice")
    return replace(state, deadline_reached=True, deadline_missed=event.missed)


@_apply.register(TaskDecided)
@_apply.register(TaskAbstained)
@_apply.register(TaskFailed)
@_apply.register(TaskCancelled)
def _closed(event: TaskDecided | TaskAbstained | TaskFailed | TaskCancelled, state: TaskState) -> TaskState:
    return replace(state, closed=event)
