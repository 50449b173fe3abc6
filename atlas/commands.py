"""Commands: work that should be done, each for one service. What `atlas.pipeline` decides on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from atlas.contracts import Contract, Perspective, Perturbation
from atlas.policy import ThinkingTokens
from atlas.upcasting import upcast_command


class Command(Contract):
    """A unit of work for one service; `id` is unique within its task and the same on every re-decision."""

    id: str


class MakePlans(Command):
    """Ask the model for `n` plans of different algorithm families."""

    kind: Literal["make_plans"] = "make_plans"
    n: int


class Generate(Command):
    """Draw `n` candidates of one prompt: candidate ids `c{first}` … `c{first+n-1}`.

    They follow a plan, or a perturbation of the problem, or neither. `greedy`: at temperature 0 and without
    thinking, as the baseline answers. `thinking_tokens`: how long the model may think before each, where that
    is not the policy's number but depends on the problem's `difficulty` (None: it is not known yet).
    """

    kind: Literal["generate"] = "generate"
    first: int
    n: int = 1
    plan: int | None = None
    perturbation: Perturbation | None = None
    greedy: bool = False
    thinking_tokens: ThinkingTokens | None = None
    difficulty: float | None = Field(default=None, ge=0, le=1)


class Score(Command):
    """Give a candidate its energy."""

    kind: Literal["score"] = "score"
    candidate: str


class Execute(Command):
    """Run a candidate on the public examples."""

    kind: Literal["execute"] = "execute"
    candidate: str


class Repair(Command):
    """Mend a candidate that fails public examples, looked at in one way: candidate id `r{index}`."""

    kind: Literal["repair"] = "repair"
    index: int
    candidate: str
    perspective: Perspective


class Refine(Command):
    """Analyse failing candidates together and write a program in that light: candidate id `f{index}`."""

    kind: Literal["refine"] = "refine"
    index: int
    candidates: tuple[str, ...] = Field(min_length=1)


class WriteBruteForce(Command):
    """Ask the model for the simplest program that is right, however slow: named `b{index}`."""

    kind: Literal["write_brute_force"] = "write_brute_force"
    index: int = Field(ge=0)


class CheckBruteForce(Command):
    """Run a brute-force program on the public examples."""

    kind: Literal["check_brute_force"] = "check_brute_force"
    program: str


class EnterBruteForce(Command):
    """Make a brute-force program that passes the public examples a candidate, where nothing else does."""

    kind: Literal["enter_brute_force"] = "enter_brute_force"
    program: str
    written_by: str = Field(description="the command that wrote it")


class MakeSelfTests(Command):
    """Run the brute-force programs on the generated inputs, and keep the outputs that enough agree on."""

    kind: Literal["make_self_tests"] = "make_self_tests"


class RunSelfTests(Command):
    """Run a candidate on the self-tests."""

    kind: Literal["run_self_tests"] = "run_self_tests"
    candidate: str


class WriteInputs(Command):
    """Ask the model for inputs, without outputs: of any kind (round 0), or on which two candidates differ."""

    kind: Literal["write_inputs"] = "write_inputs"
    round: int = Field(ge=0)
    between: tuple[str, str] | None = None


class MakeInputs(Command):
    """Run what the model wrote for a round, and keep the inputs that are valid."""

    kind: Literal["make_inputs"] = "make_inputs"
    round: int = Field(ge=0)


class Probe(Command):
    """Run a candidate on the inputs of a round, to see what comes out."""

    kind: Literal["probe"] = "probe"
    round: int = Field(ge=0)
    candidate: str


class ClusterCandidates(Command):
    """Group the candidates by what they gave on the inputs, and say how likely each group is right."""

    kind: Literal["cluster"] = "cluster"


class ReadStatement(Command):
    """Ask the model which of two candidates' outputs on one input the statement calls for."""

    kind: Literal["read_statement"] = "read_statement"
    between: tuple[str, str]


class Select(Command):
    """Choose the one program and end the task."""

    kind: Literal["select"] = "select"


AnyCommand = Annotated[
    MakePlans
    | Generate
    | Score
    | Execute
    | Repair
    | Refine
    | WriteBruteForce
    | CheckBruteForce
    | EnterBruteForce
    | MakeSelfTests
    | RunSelfTests
    | WriteInputs
    | MakeInputs
    | Probe
    | ClusterCandidates
    | ReadStatement
    | Select,
    Field(discriminator="kind"),
]

_ANY: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)

SERVICE_OF: dict[str, str] = {
    "make_plans": "planner",
    "generate": "planner",
    "score": "lens",
    "select": "lens",
    "execute": "sandbox",
    "repair": "repair",
    "refine": "repair",
    "write_brute_force": "repair",
    "check_brute_force": "sandbox",
    "enter_brute_force": "repair",
    "make_self_tests": "sandbox",
    "run_self_tests": "sandbox",
    "write_inputs": "lens",
    "make_inputs": "sandbox",
    "probe": "sandbox",
    "cluster": "lens",
    "read_statement": "lens",
}
SERVICES = ("planner", "lens", "sandbox", "repair")
Priority = Literal["p0", "p1", "p2"]
PRIORITIES: tuple[Priority, ...] = ("p0", "p1", "p2")


def command_of(stored: dict[str, Any], version: int) -> AnyCommand:
    """Return a command as it was stored under that version of the schema.

    Raises:
        SchemaTooNew: a later release stored it.
    """
    return _ANY.validate_python(upcast_command(stored, version))
