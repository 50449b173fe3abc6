"""Policies: every condition of an ablation is a value of this type, never a branch in a service."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from atlas.errors import NotFound


class Policy(BaseModel):
    """How much compute to spend on a task, and where.

    `plans` of the `k` candidates follow a plan of their own (PlanSearch); the rest are plain samples.
    `stop_after_passing`: stop drawing and running candidates once that many pass every public example
    (0: never stop early).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    k: int = Field(default=1, ge=1, le=64, description="candidates at most")
    plans: int = Field(default=0, ge=0, le=16)
    execute: bool = Field(default=True, description="run candidates on the public examples")
    stop_after_passing: int = Field(default=1, ge=0)
    repairs: int = Field(default=0, ge=0, le=16, description="repair calls at most, when no candidate passes")
    temperature: float = Field(default=0.7, ge=0, le=2)
    plan_temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16, le=65_536, description="per candidate")
    plan_max_tokens: int = Field(default=768, ge=16, le=65_536)
    seed: int = Field(default=0, ge=0, lt=2**31)


A = Policy(name="A", k=1, execute=False, temperature=0.0)
FULL = Policy(name="full", k=5, plans=2)

POLICIES = {p.name: p for p in (A, FULL)}


def named(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        NotFound: listing the names there are.
    """
    if name not in POLICIES:
        raise NotFound(f"no policy '{name}'; there are: {', '.join(POLICIES)}")
    return POLICIES[name]
