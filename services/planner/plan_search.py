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
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context

MAX_ITEM_CHARS = 160
SEED_OFFSET = 100  # from one call's seed to the next, past the candidates' of a plan

_LINE: dict[str, object] = {"type": "string", "minLength": 3, "maxLength": MAX_ITEM_CHARS}


class _Sets(Contract):
    sets: tuple[ConstraintSet, ...] = Field(min_length=1)


Answer = TypeVar("Answer", bound=Contract)


def sets_schema(n: int) -> dict[str, object]:
    """Return the JSON schema of an answer with exactly `n` constraint sets."""
    each = _object({"family": _LINE, "requires": _LINE, "rules_out": _LINE})
    return _object({"sets": _list(each, n, n)})


def plan_schema() -> dict[str, object]:
    """Return the JSON schema of a plan."""
    return _object(
        {
            "algorithm": _LINE,
            "data_structures": _list(_LINE, 1, 3),
            "steps": _list(_LINE, 2, 6),
            "edge_cases": _list(_LINE, 1, 3),
        }
    )


def _list(items: dict[str, object], least: int, most: int) -> dict[str, object]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _object(properties: dict[str, object]) -> dict[str, object]:
    # The server's grammar lets the model invent further keys unless they are forbidden.
    fixed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **fixed}


async def make_plans(context: Context, server: ModelServer, command: MakePlans) -> PlanMade:
    """Ask for `command.n` plans of different families; fewer come back where the model knows no more.

    Raises:
        BadOutput: if there is no whole constraint set, or no whole plan, or no token left for one.
        ModelServerError: from the server.
    """
    task = context.state.task

    async def ask(
        kind: type[Answer], name: str, step: int, schema: dict[str, object], **values: object
    ) -> Answer:
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

    Families are compared by their words, without what stands in brackets: "Dynamic programming (DP)" is
    "dynamic programming".
    """
    seen: dict[str, ConstraintSet] = {}
    for each in sets:
        plain = re.sub(r"\([^)]*\)", "", each.family.lower())
        seen.setdefault(" ".join(re.findall(r"\w+", plain)) or plain, each)
    return tuple(seen.values())
