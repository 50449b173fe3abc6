"""PlanSearch: search over plans in words before code (Wang et al. 2024, arXiv:2409.03733).

    constraint sets, all in one call ─▶ those that repeat a family, once more ─▶ a plan within each set

A constraint set names a family of algorithms, what it takes and what it rules out; it is what keeps the plans
apart. The server's grammar enforces the JSON, so nothing is scraped. Each call ends with what varies, so that
the problem is read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import Field, ValidationError

from atlas.commands import MakePlans
from atlas.contracts import ConstraintSet, Contract, Plan, SamplingParams
from atlas.errors import BadOutput
from atlas.events import PlanMade
from atlas.json_schema import LINE, Schema, list_of, object_of
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context

SEED_OFFSET = 100  # from one call's seed to the next, past the candidates' of a plan
OF_ANY = frozenset({"algorithm", "algorithms", "approach", "method", "technique"})  # in a family's name
SAME = {
    "dp": "dynamic programming",
    "bfs": "breadth first search",
    "dfs": "depth first search",
    "hashmap": "hash map",
    "hash table": "hash map",
    "hashtable": "hash map",
}


class _Sets(Contract):
    sets: tuple[ConstraintSet, ...] = Field(min_length=1)


Answer = TypeVar("Answer", bound=Contract)


def sets_schema(n: int) -> Schema:
    """Return the JSON schema of an answer with exactly `n` constraint sets."""
    each = object_of({"family": LINE, "requires": LINE, "rules_out": LINE})
    return object_of({"sets": list_of(each, n, n)})


def plan_schema() -> Schema:
    """Return the JSON schema of a plan."""
    return object_of(
        {
            "algorithm": LINE,
            "data_structures": list_of(LINE, 1, 3),
            "steps": list_of(LINE, 2, 6),
            "edge_cases": list_of(LINE, 1, 3),
        }
    )


async def make_plans(context: Context, server: ModelServer, command: MakePlans) -> PlanMade:
    """Ask for `command.n` plans of different families; fewer come back where the model knows no more.

    Raises:
        BadOutput: if there is no whole constraint set, or no whole plan, or no token left for one.
        ModelServerError: from the server.
    """
    task = context.state.task

    async def ask(kind: type[Answer], name: str, step: int, schema: Schema, **values: object) -> Answer:
        sampling = SamplingParams(
            temperature=task.policy.plan_temperature,
            max_tokens=task.policy.plan_max_tokens,
            seed=(task.policy.seed * 1000 + SEED_OFFSET * step) % 2**32,
        )
        prompt = await server.chat_prompt(messages(name.split(":")[0], task.problem, **values))
        request = CompletionRequest(prompt=prompt, sampling=sampling, json_schema=schema)
        answer = (await call(context, server, name, request)).choices[0]
        try:
            return kind.model_validate_json(answer.text)
        except ValidationError as error:
            raise BadOutput(f"{name} is not whole ({answer.finish}): {error.error_count()} errors") from error

    async def sets(name: str, step: int, n: int, taken: Sequence[str]) -> tuple[ConstraintSet, ...]:
        return (await ask(_Sets, name, step, sets_schema(n), n=n, taken=taken)).sets

    found = distinct(await sets("constraints", 0, command.n, ()))
    if again := command.n - len(found):
        try:
            more = await sets("constraints:again", 1, again, [each.family for each in found])
        except BadOutput:
            more = ()
        found = distinct((*found, *more))
    plans, broken = [], None
    for index, constraints in enumerate(found):
        try:
            plan = await ask(Plan, f"plan:{index}", 2 + index, plan_schema(), constraints=constraints)
        except BadOutput as error:
            broken = error
            continue
        plans.append(plan.model_copy(update={"constraints": constraints}))
    if broken is not None and not plans:
        raise broken
    return PlanMade(command=command.id, plans=tuple(plans))


def distinct(sets: Iterable[ConstraintSet]) -> tuple[ConstraintSet, ...]:
    """Keep the first set of each family.

    Families are compared by what their words say: "Dynamic programming (DP)", "dynamic-programming approach"
    and "DP" are one.
    """
    seen: dict[str, ConstraintSet] = {}
    for each in sets:
        seen.setdefault(_plain(each.family), each)
    return tuple(seen.values())


def _plain(family: str) -> str:
    """Return the name without case, brackets and words that any family's name may have."""
    words = re.findall(r"[^\W_]+", re.sub(r"\([^)]*\)", "", family.lower()))
    name = " ".join([word for word in words if word not in OF_ANY] or words)
    return SAME.get(name, name) or family
