"""PlanSearch: search over plans in words before code (Wang et al. 2024, arXiv:2409.03733), in one call.

The server's grammar enforces the JSON, so nothing is scraped; a plan whose algorithm repeats is dropped.
"""

from __future__ import annotations

from pydantic import Field, ValidationError

from atlas.commands import MakePlans
from atlas.contracts import Contract, Plan, SamplingParams
from atlas.errors import BadOutput
from atlas.events import PlanMade
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context

MAX_ITEM_CHARS = 160


class _Answer(Contract):
    plans: tuple[Plan, ...] = Field(min_length=1)


def schema(n: int) -> dict[str, object]:
    """Return the JSON schema of an answer with exactly `n` plans."""
    line = {"type": "string", "minLength": 3, "maxLength": MAX_ITEM_CHARS}
    properties: dict[str, object] = {
        "algorithm": line,
        "steps": {"type": "array", "items": line, "minItems": 2, "maxItems": 6},
        "edge_cases": {"type": "array", "items": line, "minItems": 1, "maxItems": 3},
    }
    plans = {"type": "array", "items": _object(properties), "minItems": n, "maxItems": n}
    return _object({"plans": plans})


def _object(properties: dict[str, object]) -> dict[str, object]:
    # The server's grammar lets the model invent further keys unless they are forbidden.
    fixed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **fixed}


async def make_plans(context: Context, server: ModelServer, command: MakePlans) -> PlanMade:
    """Ask for `command.n` plans; fewer come back when algorithms repeat.

    Raises:
        BadOutput: if the answer was cut off by its token limit, or there is no token left for one.
        ModelServerError: from the server.
    """
    task = context.state.task
    sampling = SamplingParams(
        temperature=task.policy.plan_temperature,
        max_tokens=task.policy.plan_max_tokens,
        seed=task.policy.seed,
    )
    prompt = await server.chat_prompt(messages("plan", task.problem, n=command.n))
    request = CompletionRequest(prompt=prompt, sampling=sampling, json_schema=schema(command.n))
    answer = (await call(context, server, "plans", request)).choices[0]
    try:
        plans = _Answer.model_validate_json(answer.text).plans
    except ValidationError as error:
        raise BadOutput(f"the plans are not whole ({answer.finish}): {error.error_count()} errors") from error
    return PlanMade(command=command.id, plans=distinct(plans))


def distinct(plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
    """Keep the first plan of each algorithm, compared without case and spaces."""
    seen: dict[str, Plan] = {}
    for plan in plans:
        seen.setdefault("".join(plan.algorithm.lower().split()), plan)
    return tuple(seen.values())
