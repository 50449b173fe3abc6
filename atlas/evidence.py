"""Why one program is handed back: how programs compare, why drawing ended, what tells for the chosen one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atlas.contracts import Contract, EnergyScore, Unavailable


class CandidateCluster(Contract):
    """Candidates whose programs gave the same outputs wherever they were run, in the order they were drawn.

    `probability`: that they are right, by the calibrated selector (between 0 and 1).
    """

    candidates: tuple[str, ...] = Field(min_length=1)
    probability: float = Field(ge=0, le=1)


Comparison = Literal["compared", "no_usable_inputs", "one_program", "no_survivor", "not_asked"]


class Agreement(Contract):
    """How the programs that could be handed back compare on generated inputs, whose outputs nobody knows.

    `comparison` says what the comparison rests on, or why there is none: no input on which any program ended
    well, one program alone left, none that passes every public example, or a policy that asks for none.
    """

    comparison: Comparison
    inputs: int = Field(default=0, ge=0, description="usable ones: at least one program ended well on it")
    agreeing: int = Field(
        default=1, ge=0, description="candidates whose outputs are the chosen one's, it included"
    )
    clusters: tuple[int, ...] = Field(default=(), description="sizes of the clusters, the chosen one's first")


Basis = Literal[
    "passed_public_examples", "best_partial", "no_public_examples", "not_executed", "majority_vote"
]


class Stop(Contract):
    """Why no further sample was drawn: `votes` of the `of` samples that voted, and how sure the rule was.

    `passing` and `agreeing` are counts the policy asks for; `price`: none passed, and nothing was worth its
    tokens (`atlas.spending`); the others are rules of `atlas.stopping`.
    """

    rule: Literal["passing", "price", "agreeing", "blend_asc", "reasc_single", "reasc"]
    votes: int = Field(ge=0)
    of: int = Field(ge=0)
    confidence: float | None = Field(default=None, ge=0, le=1)


class Evidence(Contract):
    """Why this program was handed back, or this letter (basis `majority_vote`, by `votes`)."""

    basis: Basis
    public_passed: int
    public_total: int
    candidates: int
    survivors: int = Field(description="candidates that passed every public example")
    energy: EnergyScore = Unavailable(reason="not scored")
    mean_logprob: float | None = None
    isolation: str | None = None
    confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="calibrated probability that the program is right; null where nothing calibrates it: "
        "letters, programs of steps",
    )
    agreement: Agreement | None = None
    stopped: Stop | None = Field(default=None, description="why drawing ended before its limits, if it did")
    votes: dict[str, int] = Field(
        default_factory=dict, description="candidates by the letter they chose, most votes first (`choice`)"
    )
