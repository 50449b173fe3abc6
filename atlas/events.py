"""Events: what a task's journal is made of. Each is a fact; nothing is ever edited, only appended to.

Times are seconds, log-probabilities natural logs, as in `atlas.contracts`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from atlas.commands import Priority
from atlas.contracts import (
    MAX_CODE_CHARS,
    Candidate,
    Contract,
    EnergyScore,
    Execution,
    LogprobSummary,
    Plan,
    Problem,
    SamplingParams,
    SelfTest,
    Usage,
)
from atlas.evidence import CandidateCluster, Evidence
from atlas.generated_inputs import GeneratedInput, ProbedRun, Validation, WrittenInputs
from atlas.policy import Part, Policy, Spending, missing
from atlas.span_embedding import SpanEmbedding
from atlas.upcasting import SCHEMA_VERSION, UNVERSIONED, upcast_event

# A sweeper that runs tells a task of its deadline within a second or two.
MISSED_S = 30.0


class Event(Contract):
    """A fact in a task's journal. `command` names the command it belongs to, if any."""

    command: str | None = None


class Pins(Contract):
    """Everything learned or versioned that decides a task's course, fixed when it is submitted.

    `thinks`: whether the model has a thinking mode; without one a policy's thinking is left out.
    `selector`: sha256 of the selector's weights; "" in journals from before there were any.
    """

    pipeline: str
    prompts_sha256: str
    model: str
    lens_weights: str | None = None
    thinks: bool = False
    selector: str = ""


class TaskSubmitted(Event):
    """The first event of every journal."""

    type: Literal["TaskSubmitted"] = "TaskSubmitted"
    problem: Problem
    policy: Policy
    pins: Pins
    priority: Priority = "p1"
    deadline_s: float = Field(gt=0, le=86_400)

    @property
    def missing(self) -> tuple[Part, ...]:
        """Parts of the policy that it runs without."""
        return missing(self.policy, self.pins.lens_weights, thinks=self.pins.thinks)

    @property
    def spending(self) -> Spending | None:
        """The priors by which the task's tokens are spent; None: plans, samples and repairs in that order."""
        return self.policy.spending_for(self.pins.model)


class CommandsIssued(Event):
    """These commands were put on their queues."""

    type: Literal["CommandsIssued"] = "CommandsIssued"
    ids: tuple[str, ...]


class CommandsRevoked(Event):
    """These open commands are no longer wanted; a late answer is dropped, its tokens counted."""

    type: Literal["CommandsRevoked"] = "CommandsRevoked"
    ids: tuple[str, ...]


class CommandFailed(Event):
    """A command has no result: bad model output, a refused call, an error in a handler, or a poison pill.

    `lost_tokens` and `lost_s` (by the worker's clock): what a model call took that failed it, a timeout say,
    and that no ModelCallFinished tells of.
    """

    type: Literal["CommandFailed"] = "CommandFailed"
    reason: Literal["bad_output", "refused", "handler_error", "poisoned"]
    detail: str = Field(default="", max_length=2_000)
    lost_tokens: int = Field(default=0, ge=0)
    lost_s: float = Field(default=0.0, ge=0)

    @property
    def infrastructure(self) -> bool:
        """Whether the machinery failed rather than the model."""
        return self.reason != "bad_output"


class Choice(Contract):
    """One of the n completions of a call. `stopped_by`: the stop string that ended it, if one did."""

    text: str
    usage: Usage
    finish: Literal["stop", "length"]
    stopped_by: str | None = None
    logprob: LogprobSummary | None = None
    span: SpanEmbedding | None = Field(
        default=None, description="where it was asked for and the server has it"
    )


class ModelCallFinished(Event):
    """One model call, whole: replayable by content, never made again once recorded.

    `server` (host and port) holds the prefix of the task's next calls. `slot` of it drew the first choice.
    """

    type: Literal["ModelCallFinished"] = "ModelCallFinished"
    call: str
    prompt: str
    sampling: SamplingParams
    schema_sha256: str | None = None
    choices: tuple[Choice, ...]
    server: str | None = None
    slot: int | None = None
    server_s: float = Field(ge=0, description="prompt and generation time as llama-server reports it")


class PlanMade(Event):
    """Answers MakePlans."""

    type: Literal["PlanMade"] = "PlanMade"
    plans: tuple[Plan, ...]


class CandidateGenerated(Event):
    """Answers Generate, Repair, Refine or EnterBruteForce (one event per candidate)."""

    type: Literal["CandidateGenerated"] = "CandidateGenerated"
    candidate: Candidate


class CandidateScored(Event):
    """Answers Score. `difficulty`: the chance that a first try fails, by the state of the prompt."""

    type: Literal["CandidateScored"] = "CandidateScored"
    candidate: str
    energy: EnergyScore
    difficulty: float | None = Field(default=None, ge=0, le=1)


class ExecutionFinished(Event):
    """Answers Execute."""

    type: Literal["ExecutionFinished"] = "ExecutionFinished"
    candidate: str
    execution: Execution


class BruteForceWritten(Event):
    """Answers WriteBruteForce: a slow program that is to be right, handed back only where nothing else is."""

    type: Literal["BruteForceWritten"] = "BruteForceWritten"
    program: str
    code: str = Field(max_length=MAX_CODE_CHARS)


class BruteForceChecked(Event):
    """Answers CheckBruteForce: how a brute-force program does on the public examples."""

    type: Literal["BruteForceChecked"] = "BruteForceChecked"
    program: str
    execution: Execution


class SelfTestsMade(Event):
    """Answers MakeSelfTests: the shortest inputs first, with how each output was come by."""

    type: Literal["SelfTestsMade"] = "SelfTestsMade"
    tests: tuple[SelfTest, ...]
    inputs: int = Field(ge=0, description="that were tried")


class SelfTestsRun(Event):
    """Answers RunSelfTests: a candidate on every self-test, in their order."""

    type: Literal["SelfTestsRun"] = "SelfTestsRun"
    candidate: str
    execution: Execution


class InputsWritten(Event):
    """Answers WriteInputs."""

    type: Literal["InputsWritten"] = "InputsWritten"
    round: int = Field(ge=0)
    written: WrittenInputs


class InputsMade(Event):
    """Answers MakeInputs: the inputs that programs are run on, and how many the validator refused."""

    type: Literal["InputsMade"] = "InputsMade"
    round: int = Field(ge=0)
    inputs: tuple[GeneratedInput, ...]
    validation: Validation = "none"
    refused: int = Field(default=0, ge=0)


class CandidateProbed(Event):
    """Answers Probe: a run for each input of the round, in their order."""

    type: Literal["CandidateProbed"] = "CandidateProbed"
    round: int = Field(ge=0)
    candidate: str
    runs: tuple[ProbedRun, ...]
    isolation: str
    seconds: float = Field(ge=0, description="wall time until the executor answered")


class CandidatesClustered(Event):
    """Answers ClusterCandidates: clusters in the order of preference.

    `agreeing`: independently planned programs of one cluster, at most, that agree on every example and input
    (0: there was no example and no usable input to agree on). `contested`: a program of each of the two
    leading clusters, where neither is clearly better.
    """

    type: Literal["CandidatesClustered"] = "CandidatesClustered"
    clusters: tuple[CandidateCluster, ...]
    inputs: int = Field(ge=0, description="usable ones")
    agreeing: int = Field(ge=0)
    contested: tuple[str, str] | None = None


class StatementRead(Event):
    """Answers ReadStatement: votes of the model for the output of each of the two on `input`."""

    type: Literal["StatementRead"] = "StatementRead"
    between: tuple[str, str]
    input: str
    votes: tuple[int, int]


class DeadlineReached(Event):
    """The task's time is up: what there is must do.

    `overdue_s`: how long it has been up; more than a moment where the services were down when it was.
    """

    type: Literal["DeadlineReached"] = "DeadlineReached"
    overdue_s: float = Field(default=0.0, ge=0)

    @property
    def missed(self) -> bool:
        """Whether the services were down at the deadline, so that the task did not have its time."""
        return self.overdue_s > MISSED_S


class TaskDecided(Event):
    """Answers Select and ends the task: exactly one program (promise 2, *one submission*)."""

    type: Literal["TaskDecided"] = "TaskDecided"
    candidate: str
    evidence: Evidence


class TaskAbstained(Event):
    """Answers Select and ends the task in silence: the best program's confidence is below `abstain_below`."""

    type: Literal["TaskAbstained"] = "TaskAbstained"
    candidate: str
    evidence: Evidence


class TaskFailed(Event):
    """Ends the task without a program. `infrastructure`: the machinery failed, not the model."""

    type: Literal["TaskFailed"] = "TaskFailed"
    reason: str
    infrastructure: bool


class TaskCancelled(Event):
    """Ends the task because its owner said so."""

    type: Literal["TaskCancelled"] = "TaskCancelled"


AnyEvent = Annotated[
    TaskSubmitted
    | CommandsIssued
    | CommandsRevoked
    | CommandFailed
    | ModelCallFinished
    | PlanMade
    | CandidateGenerated
    | CandidateScored
    | ExecutionFinished
    | BruteForceWritten
    | BruteForceChecked
    | SelfTestsMade
    | SelfTestsRun
    | InputsWritten
    | InputsMade
    | CandidateProbed
    | CandidatesClustered
    | StatementRead
    | DeadlineReached
    | TaskDecided
    | TaskAbstained
    | TaskFailed
    | TaskCancelled,
    Field(discriminator="type"),
]

CLOSING = (TaskDecided, TaskAbstained, TaskFailed, TaskCancelled)
ANSWERS = (
    PlanMade,
    CandidateGenerated,
    CandidateScored,
    ExecutionFinished,
    BruteForceWritten,
    BruteForceChecked,
    SelfTestsMade,
    SelfTestsRun,
    InputsWritten,
    InputsMade,
    CandidateProbed,
    CandidatesClustered,
    StatementRead,
    CommandFailed,
    TaskDecided,
    TaskAbstained,
)


class Entry(Contract):
    """A journalled event: `seq` counts from 1 without gaps, `time` is Redis's clock in seconds.

    `version` is the schema's. Read from JSON of an older release, which may have none, the event is upcast.
    """

    seq: int
    time: float
    version: int = SCHEMA_VERSION
    event: AnyEvent

    @model_validator(mode="before")
    @classmethod
    def _upcast(cls, data: Any) -> Any:  # noqa: ANN401 - not validated yet
        if not isinstance(data, dict) or not isinstance(data.get("event"), dict):
            return data
        version = data.get("version", UNVERSIONED)
        if not isinstance(version, int):
            return data
        return {**data, "event": upcast_event(data["event"], version), "version": SCHEMA_VERSION}
