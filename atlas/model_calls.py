"""Model calls that are never made twice: recorded in the task's journal as soon as they return."""

from __future__ import annotations

import hashlib
import json
import time

from prometheus_client import Counter

from atlas.budget import spendable
from atlas.contracts import Usage
from atlas.errors import BudgetSpent, ModelServerError
from atlas.events import ModelCallFinished
from atlas.llama import CompletionRequest, ModelServer
from atlas.state import TaskState
from atlas.worker import Context

TOKENS = Counter(
    "atlas_model_tokens_total",
    "Tokens of recorded model calls; of a draft model's tokens, accepted / drafted is its acceptance rate",
    ["kind"],
)
KINDS = {
    "prompt": "tokens_in",
    "cached": "tokens_cached",
    "generated": "tokens_out",
    "drafted": "tokens_drafted",
    "accepted": "tokens_accepted",
}
for _kind in KINDS:
    TOKENS.labels(_kind)  # shown as 0 until there is one


async def call(
    context: Context, server: ModelServer, name: str, request: CompletionRequest
) -> ModelCallFinished:
    """Return the recorded call `name` of this command, making and recording it if there is none yet.

    The task's server is asked for: the prefix that its earlier calls share is cached there.
    The call is cut to what is left of the task's token budget, shared by its completions.

    Raises:
        BudgetSpent: if the budget has not a token left for each completion.
        ModelServerError: from the server.
        asyncio.CancelledError: if the task closed while the call ran.
    """
    command = context.command.id
    call_id = f"{command}/{name}"
    if call_id in context.state.calls:
        return context.state.calls[call_id]

    def count(tokens: int) -> None:
        context.tokens_in_flight += tokens

    request = _within_budget(request, context.state, context.command.id)
    # The worker cancels the call at the task's deadline; this ends it if nobody is left to do so.
    timeout_s = request.timeout_s or context.state.task.deadline_s
    where = {"task": context.task, "server": context.state.server}
    begun = time.monotonic()
    try:
        result = await server.complete(request.model_copy(update={**where, "timeout_s": timeout_s}), count)
    except ModelServerError as error:
        if not error.retryable:  # it will not be made again: the command's failure says what it took
            context.lost_tokens += context.tokens_in_flight
            context.lost_s += time.monotonic() - begun
        await context.lose_tokens()
        raise
    schema = json.dumps(request.json_schema, sort_keys=True) if request.json_schema else None
    event = ModelCallFinished(
        command=command,
        call=call_id,
        prompt=request.prompt,
        sampling=request.sampling,
        schema_sha256=hashlib.sha256(schema.encode()).hexdigest() if schema else None,
        choices=result.choices,
        slot=result.slot,
        server=result.server,
        server_s=result.server_s,
    )
    context.tokens_in_flight = 0  # from here on the journal counts them, whatever becomes of the command
    state = await context.record(event, once=f"call:{call_id}")
    usage = sum((choice.usage for choice in result.choices), Usage())
    for kind, field in KINDS.items():
        TOKENS.labels(kind).inc(getattr(usage, field))
    return state.calls[call_id]


def _within_budget(request: CompletionRequest, state: TaskState, command: str) -> CompletionRequest:
    left = spendable(state, command)
    if left is None:
        return request
    each = min(request.sampling.max_tokens, left // request.n)
    if each < 1:
        raise BudgetSpent(f"of {state.task.policy.token_budget} tokens {left} are left")
    sampling = request.sampling.model_copy(update={"max_tokens": each})
    return request.model_copy(update={"sampling": sampling})
