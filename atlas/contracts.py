"""The nouns every service speaks: problems, plans, candidates, executions.

All models are frozen and refuse unknown fields, so a hidden test has no field to travel in
(promise 1, *blind*): `HiddenTests` exists only in `benchmark/`, which the solving stack cannot import.

Times are seconds, sizes say their unit in the name, log-probabilities are natural logs.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_STATEMENT_CHARS = 64_000
MAX_CODE_CHARS = 64_000
OUTPUT_KEPT_CHARS = 4_096
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MIN_CHOICES = 2
# Fields that mean nothing to a kind of problem: setting one is a mistake that is better told than ignored.
ALIEN: dict[str, tuple[str, ...]] = {
    "stdin": ("choices", "steps"),
    "function": ("choices", "steps"),
    "choice": ("steps", "examples", "entry_point", "starter_code"),
    "steps": ("choices", "examples", "entry_point"),
}


class Contract(BaseModel):
    """Base: immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- the problem


class Example(Contract):
    """One public example, as printed in the statement.

    `stdin` problems: raw text in, raw text out. `function` problems (LiveCodeBench's own form): one JSON
    value per line of `input`, one per argument, and the JSON of the returned value as `output`.
    """

    input: str
    output: str


class Limits(Contract):
    """What one run of a program may use."""

    time_s: float = Field(default=6.0, gt=0, le=60)
    memory_mb: int = Field(default=512, ge=32, le=4096)
    output_kb: int = Field(default=1024, ge=1, le=16_384)


class Step(Contract):
    """One sub-problem of a `steps` problem: a function (or class) to define.

    `header` is its signature, with the docstring if there is one. `given` is code of the step that is handed
    out rather than asked for (SciCode has three such steps): it is there when the program runs.
    """

    description: str = Field(min_length=1, max_length=MAX_STATEMENT_CHARS)
    header: str = Field(min_length=1, max_length=16_000)
    background: str = Field(default="", max_length=MAX_STATEMENT_CHARS)
    given: str = Field(default="", max_length=16_000)


class Problem(Contract):
    """A problem as its solver may see it. There is no field for a hidden test.

    What is handed back is a program: one that reads standard input (`stdin`), defines the function or the
    method of `class Solution` that `entry_point` names (`function`), or defines what every one of `steps`
    asks for, in their order (`steps`). For a multiple-choice question (`choice`) it is the letter of one of
    the `choices`, A for the first. Only `stdin` and `function` problems have public examples;
    `examples_in_statement`: the statement shows them all, and they are not put before the model again.
    """

    title: str = Field(default="", max_length=500)
    statement: str = Field(min_length=1, max_length=MAX_STATEMENT_CHARS)
    kind: Literal["stdin", "function", "choice", "steps"] = "stdin"
    starter_code: str = Field(default="", max_length=16_000)
    entry_point: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    examples: tuple[Example, ...] = Field(default=(), max_length=50)
    examples_in_statement: bool = False
    choices: tuple[Annotated[str, Field(min_length=1, max_length=8_000)], ...] = Field(
        default=(), max_length=len(LETTERS)
    )
    steps: tuple[Step, ...] = Field(default=(), max_length=50)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Problem:
        if self.kind == "function" and not self.entry_point:
            raise ValueError("a 'function' problem needs entry_point: the name of the function to call")
        if self.kind == "choice" and len(self.choices) < MIN_CHOICES:
            raise ValueError(f"a 'choice' problem needs at least {MIN_CHOICES} choices")
        if self.kind == "steps" and not self.steps:
            raise ValueError("a 'steps' problem needs at least one step")
        wrong = [name for name in ALIEN[self.kind] if getattr(self, name)]
        if wrong:
            raise ValueError(f"a '{self.kind}' problem has no {wrong[0]}")
        return self


# ---------------------------------------------------------------- what the model makes


class ConstraintSet(Contract):
    """What keeps plans apart: a family of algorithms, what one of it takes, and what it rules out."""

    family: str
    requires: str
    rules_out: str


class Plan(Contract):
    """One way to solve the problem, in words (PlanSearch, arXiv:2409.03733), within `constraints`."""

    constraints: ConstraintSet | None = None
    algorithm: str
    data_structures: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    edge_cases: tuple[str, ...] = ()


class SamplingParams(Contract):
    """How one completion is drawn."""

    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=40, ge=0)
    min_p: float = Field(default=0.05, ge=0, le=1)
    max_tokens: int = Field(ge=1, le=65_536)
    seed: int = Field(ge=0, lt=2**32)


class Usage(Contract):
    """Tokens of one or more model calls. `tokens_cached` is the part of `tokens_in` served from cache.

    With speculative decoding, `tokens_drafted` were proposed by the draft and `tokens_accepted` of them kept.
    """

    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)
    tokens_cached: int = Field(default=0, ge=0)
    tokens_drafted: int = Field(default=0, ge=0)
    tokens_accepted: int = Field(default=0, ge=0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_drafted=self.tokens_drafted + other.tokens_drafted,
            tokens_accepted=self.tokens_accepted + other.tokens_accepted,
        )


class Thinking(Contract):
    """What a candidate's thinking took: tokens generated, times it was made to go on, cut at its budget.

    `tier`: its budget by the problem's `difficulty` (None: not known yet), where the policy has tiers.
    """

    tokens: int = Field(ge=0)
    waits: int = Field(default=0, ge=0)
    cut: bool = False
    tier: int | None = Field(default=None, ge=0)
    difficulty: float | None = Field(default=None, ge=0, le=1)


class LogprobSummary(Contract):
    """Log-probabilities of the generated tokens: mean, minimum, and mean of the lowest tenth."""

    mean: float = Field(le=0)
    minimum: float = Field(le=0)
    lowest_decile: float = Field(le=0)


class Energy(Contract):
    """The Lens's score C(x): ≥ 0, lower is better. Named after the weights that gave it."""

    kind: Literal["energy"] = "energy"
    value: float = Field(ge=0, allow_inf_nan=False)
    weights: str


class Unavailable(Contract):
    """There is no score, and why: never a sentinel number."""

    kind: Literal["unavailable"] = "unavailable"
    reason: str


EnergyScore = Annotated[Energy | Unavailable, Field(discriminator="kind")]


Perspective = Literal["logical_consistency", "information_completeness", "biases", "alternative_solutions"]
PERSPECTIVES: tuple[Perspective, ...] = (
    "logical_consistency",
    "information_completeness",
    "biases",
    "alternative_solutions",
)


FailureCategory = Literal[
    "wrong_algorithm",
    "implementation_bug",
    "edge_case_miss",
    "time_limit",
    "format_error",
    "partial_correct",
]


class FailureAnalysis(Contract):
    """What the model says is wrong with failing programs, and what the next one must keep to."""

    category: FailureCategory
    cause: str
    constraints: tuple[str, ...]


Perturbation = Literal[
    "competitor",
    "step_by_step",
    "plain_loops",
    "engineer",
    "edge_cases_first",
    "functional",
    "mathematician",
    "complexity_first",
    "brute_force_first",
    "teacher",
    "constraints_first",
    "small_functions",
]
# In the order they are used: of the three kinds (roles, instructions, styles) one after the other.
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)


Origin = Literal["sample", "plan", "repair", "brute_force"]


class Candidate(Contract):
    """One answer of the model.

    `code` is what it would hand in: its program, or for a `choice` problem the letter it chose; None where
    the answer holds none.
    `thinking` is None where there can be none; `usage` counts it in, `logprob` is the answer's.
    """

    id: str
    origin: Origin
    plan: int | None = None
    perturbation: Perturbation | None = Field(default=None, description="how the problem was put")
    parent: str | None = Field(default=None, description="the candidate that a repair mends")
    perspective: Perspective | None = Field(default=None, description="how a repair looked at its parent")
    analysis: FailureAnalysis | None = Field(default=None, description="what a refinement was made from")
    code: str | None = Field(default=None, max_length=MAX_CODE_CHARS)
    sampling: SamplingParams
    usage: Usage
    thinking: Thinking | None = None
    logprob: LogprobSummary | None = None
    energy: EnergyScore = Unavailable(reason="not scored")

    @property
    def first_hand(self) -> bool:
        """Whether it was drawn from the problem alone, by a prompt of candidates: such ones are compared."""
        return self.origin in ("sample", "plan")


# ---------------------------------------------------------------- running programs


class Verdict(str, Enum):
    """What became of one run of one program on one test. Never confused with each other."""

    ACCEPTED = "accepted"
    WRONG_ANSWER = "wrong_answer"
    RUNTIME_ERROR = "runtime_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    COMPILE_ERROR = "compile_error"
    FORBIDDEN = "forbidden"
    INFRASTRUCTURE_ERROR = "infrastructure_error"


class TestResult(Contract):
    """A run judged against one expected output. Long outputs are cut to 4 kB and kept by their hash."""

    __test__ = False  # not a pytest class

    verdict: Verdict
    output: str = ""
    output_sha256: str = ""
    error: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_mb: float = 0.0


class Execution(Contract):
    """One program on tests: a candidate on its public examples, or whatever the judge was asked.

    `results` has fewer than `tests` entries where the judge stopped at the first failure.
    """

    results: tuple[TestResult, ...]
    tests: int = Field(default=0, ge=0, description="how many tests were asked for; 0: not recorded")
    isolation: str
    seconds: float = Field(ge=0, description="wall time until the executor answered")

    @property
    def total(self) -> int:
        """How many tests it was to run on; as many as it did, where that was not recorded."""
        return max(self.tests, len(self.results))

    @property
    def passed(self) -> int:
        """How many examples were accepted."""
        return sum(r.verdict is Verdict.ACCEPTED for r in self.results)

    @property
    def all_passed(self) -> bool:
        """True if there was at least one test and every one asked for was accepted."""
        return bool(self.results) and self.passed == self.total

    @property
    def compiled(self) -> bool:
        """False if the program did not compile, which every test then says."""
        return not self.results or any(r.verdict is not Verdict.COMPILE_ERROR for r in self.results)


class SelfTest(Contract):
    """A test of the task's own: an input nobody gave an output for, and the output that programs agree on.

    `agreed`: the brute-force programs that give it, each of which passes every public example; `against`: how
    many of the others give something else.
    """

    input: str
    output: str
    agreed: tuple[str, ...] = Field(min_length=2)
    against: int = Field(default=0, ge=0)
