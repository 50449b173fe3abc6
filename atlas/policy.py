"""Policies: every condition of an ablation is a value of this type, never a branch in a service."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from atlas.contracts import PERTURBATIONS
from atlas.errors import NotFound


class Part(str, Enum):
    """A technique that a policy may ask for; what each is, is said in docs/ARCHITECTURE.md."""

    PLAN_SEARCH = "plan_search"
    DIV_SAMPLING = "div_sampling"
    BUDGET_FORCING = "budget_forcing"
    LENS = "lens"
    SELF_TESTS = "self_tests"
    PR_COT = "pr_cot"
    REFINEMENT = "refinement"
    OUTPUT_AGREEMENT = "output_agreement"


# What there is so far. Two are there only for some models (see `missing`): the Lens, which needs weights, and
# budget forcing, which needs a model that thinks.
BUILT = frozenset(
    {
        Part.PLAN_SEARCH,
        Part.DIV_SAMPLING,
        Part.PR_COT,
        Part.REFINEMENT,
        Part.BUDGET_FORCING,
        Part.OUTPUT_AGREEMENT,
    }
)

Selector = Literal["examples", "majority", "calibrated"]
ThinkingTokens = Literal[0, 1024, 2048, 4096, 8192, 16_384, 32_768]


class Policy(BaseModel):
    """How much compute to spend on a task, and where.

    `probe`: the first candidate is the baseline's, at temperature 0, and plans are made only if it does not
    end the task. `plans` of the `k` candidates follow a plan of their own (PlanSearch), the next
    `perturbations` each another way to put the problem (DivSampling); the rest are plain samples.
    `stop_after_passing`: stop drawing and running candidates once that many pass every public example
    (0: never stop early). `repairs`: PR-CoT proposals at most, one perspective each, when none passes;
    `refinements`: then programs written from an analysis of the nearest failures, at most, for
    `refinement_seconds` of the model's time.
    `token_budget`: tokens the model may generate for the task in all its calls, prompts not counted (0: no
    limit); no call is made that could exceed it. `thinking_tokens`: how long a model that thinks may think
    before each candidate, `max_tokens` coming on top (budget forcing; 0: it answers at once, as other models
    always do). `waits`: how often a model that stops within a quarter of them is made to think on.
    `inputs`: programs that pass every public example are compared on so many generated inputs (0: they are
    not); writing them may take `input_tokens`. `distinguish`: rounds of further inputs on which the two
    leading clusters differ; `readings`: votes of the model on what the statement asks for on one of them,
    where nothing else tells them apart. `stop_when_agreeing`: end the task once so many independently planned
    programs agree on every example and input (0: never).
    `selector`: what chooses the program: the public examples alone, the largest cluster, or the calibrated
    model over clusters. `abstain_below`: hand back nothing where the confidence is lower.
    `extras`: parts beyond what the numbers ask for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    k: int = Field(default=1, ge=1, le=64, description="candidates at most")
    probe: bool = Field(default=False, description="draw the baseline's candidate first")
    plans: int = Field(default=0, ge=0, le=16)
    perturbations: int = Field(default=0, ge=0, le=len(PERTURBATIONS), description="perturbed samples")
    execute: bool = Field(default=True, description="run candidates on the public examples")
    stop_after_passing: int = Field(default=1, ge=0)
    repairs: int = Field(default=0, ge=0, le=16, description="repair proposals at most")
    refinements: int = Field(default=0, ge=0, le=16, description="refined programs at most")
    refinement_seconds: float = Field(default=300, gt=0, le=86_400, description="of the model, in all")
    token_budget: int = Field(default=0, ge=0, le=10_000_000, description="generated tokens, 0: no limit")
    inputs: int = Field(default=0, ge=0, le=64, description="generated inputs to compare programs on")
    input_tokens: int = Field(default=1536, ge=96, le=65_536, description="for writing a round of inputs")
    distinguish: int = Field(default=0, ge=0, le=4, description="rounds of distinguishing inputs at most")
    readings: int = Field(default=0, ge=0, le=16, description="votes of the model, as the last resort")
    stop_when_agreeing: int = Field(default=0, ge=0, le=16, description="programs; 0: never")
    selector: Selector = "examples"
    abstain_below: float = Field(default=0.0, ge=0, le=1, description="least confidence")
    extras: tuple[Part, ...] = ()
    temperature: float = Field(default=0.7, ge=0, le=2)
    plan_temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16, le=65_536, description="per candidate")
    plan_max_tokens: int = Field(default=512, ge=16, le=65_536, description="per plan")
    analysis_max_tokens: int = Field(default=192, ge=16, le=65_536, description="per repair's analysis")
    thinking_tokens: ThinkingTokens = Field(default=0, description="per candidate")
    waits: int = Field(default=0, ge=0, le=3, description="per candidate")
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("inputs")
    @classmethod
    def _are_run(cls, inputs: int, info: ValidationInfo) -> int:
        if inputs and not info.data.get("execute", True):
            raise ValueError("'inputs' need 'execute': programs are compared by what they give when run")
        return inputs

    @field_validator("distinguish", "readings", "stop_when_agreeing")
    @classmethod
    def _have_inputs(cls, value: int, info: ValidationInfo) -> int:
        if value and not info.data.get("inputs", 1):
            raise ValueError(f"'{info.field_name}' needs 'inputs': programs are compared on them")
        if info.field_name == "stop_when_agreeing" and value == 1:
            raise ValueError("'stop_when_agreeing' is 0 or at least 2: one program agrees with itself")
        return value

    @property
    def needs(self) -> tuple[Part, ...]:
        """Every part this policy asks for, in the order of `Part`."""
        counted = {
            Part.PLAN_SEARCH: self.plans > 0,
            Part.DIV_SAMPLING: self.perturbations > 0,
            Part.PR_COT: self.repairs > 0,
            Part.REFINEMENT: self.refinements > 0,
            Part.BUDGET_FORCING: self.thinking_tokens > 0,
            Part.OUTPUT_AGREEMENT: self.inputs > 0,
        }
        return tuple(part for part in Part if counted.get(part) or part in self.extras)


def missing(policy: Policy, lens_weights: str | None = None, *, thinks: bool = False) -> tuple[Part, ...]:
    """Return the parts a policy needs that it would run without.

    They are not built yet, or not there for the model: it has no Lens weights, or does not think.
    """
    there = BUILT | ({Part.LENS} if lens_weights is not None else set())
    there -= set() if thinks else {Part.BUDGET_FORCING}
    return tuple(part for part in policy.needs if part not in there)


# The ablation A to E: what each phase adds (upstream's conditions, docs/ARCHITECTURE.md).
_PHASE_3 = (Part.SELF_TESTS,)
# One hard budget for whatever is compared at equal tokens: about what D spends on a task it cannot solve.
EQUAL_TOKENS = 8192
# As many generated inputs as programs are compared on, wherever they are.
INPUTS = 16
# Of the tiers the one that leaves those tokens room for a second and a third candidate.
_THINKING: ThinkingTokens = 2048

A = Policy(name="A", k=1, execute=False, temperature=0.0)
B = Policy(name="B", k=3, probe=True, plans=2, perturbations=2, thinking_tokens=_THINKING)
C = B.model_copy(update={"name": "C", "extras": (Part.LENS,)})
D = B.model_copy(
    update={"name": "D", "repairs": 4, "refinements": 3, "token_budget": EQUAL_TOKENS, "extras": _PHASE_3}
)
E = D.model_copy(update={"name": "E", "extras": (Part.LENS, *_PHASE_3)})
FULL = Policy(name="full", k=5, plans=2, repairs=4, token_budget=EQUAL_TOKENS, extras=(Part.LENS,))

# The controls spend D's budget on plain samples of one prompt (they can share one pool of them).
RESAMPLE = Policy(name="resample", k=64, token_budget=EQUAL_TOKENS)
DIV_SAMPLING = RESAMPLE.model_copy(
    update={"name": "div-sampling", "k": len(PERTURBATIONS), "perturbations": len(PERTURBATIONS)}
)
NO_PLAN = RESAMPLE.model_copy(update={"name": "no-plan", "stop_after_passing": 0})
SELF_CONSISTENCY = NO_PLAN.model_copy(
    update={"name": "self-consistency", "inputs": INPUTS, "selector": "majority"}
)

POLICIES = {p.name: p for p in (A, B, C, D, E, RESAMPLE, DIV_SAMPLING, NO_PLAN, SELF_CONSISTENCY, FULL)}
SUMMARIES = {
    "A": "baseline: one sample at temperature 0, not executed",
    "B": "phase 1: the baseline's sample, then plans and diverse samples, chosen by the public examples",
    "C": "phases 1 and 2: B, run in the Lens's energy order",
    "D": "phases 1 and 3: B, then repair of what fails",
    "E": "phases 1, 2 and 3: everything",
    "resample": "control at D's tokens: plain samples until one passes the public examples",
    "div-sampling": "the problem put in twelve ways, one sample each, until one passes the public examples",
    "no-plan": "control at D's tokens: plain samples to the end of the budget, chosen as B chooses",
    "self-consistency": "control at D's tokens: plain samples, chosen by agreement of their outputs",
    "full": "the default: plans, samples, public examples, repair, and the Lens where it has weights",
}


def named(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        NotFound: listing the names there are.
    """
    if name not in POLICIES:
        raise NotFound(f"no policy '{name}'; there are: {', '.join(POLICIES)}")
    return POLICIES[name]
