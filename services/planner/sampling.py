"""Drawing candidate programs: from the problem alone, or following one plan."""

from __future__ import annotations

from typing import Literal

from atlas.candidates import candidate
from atlas.contracts import Generate, SamplingParams
from atlas.errors import BudgetSpent
from atlas.events import CandidateGenerated
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context


async def generate(
    context: Context, server: ModelServer, command: Generate, slots: int
) -> list[CandidateGenerated]:
    """Draw `command.n` candidates of one prompt, `slots` (all that the server can) in each call.

    Seeds: policy seed times 1000 plus the index of the call's first candidate. The server adds one for each
    further choice of a call, so no two candidates share a seed, however they are divided into calls. Fewer
    come back if the token budget is spent on the way.

    Raises:
        BudgetSpent: if there is no token left for the first.
        ModelServerError: from the server.
    """
    task = context.state.task
    problem, policy = task.problem, task.policy
    if command.plan is None:
        text = messages("solve", problem)
    else:
        text = messages("implement", problem, plan=context.state.plans[command.plan])
    prompt = await server.chat_prompt(text)
    events: list[CandidateGenerated] = []
    for first in range(command.first, command.first + command.n, slots):
        sampling = SamplingParams(
            temperature=policy.temperature,
            max_tokens=policy.max_tokens,
            seed=(policy.seed * 1000 + first) % 2**32,
        )
        n = min(slots, command.first + command.n - first)
        request = CompletionRequest(prompt=prompt, sampling=sampling, n=n)
        try:
            done = await call(context, server, f"code:{first}", request)
        except BudgetSpent:
            if not events:
                raise
            break
        origin: Literal["sample", "plan"] = "sample" if command.plan is None else "plan"
        drawn = [
            candidate(choice, problem, done.sampling, id=f"c{first + i}", origin=origin, plan=command.plan)
            for i, choice in enumerate(done.choices)
        ]
        events += [CandidateGenerated(command=command.id, candidate=each) for each in drawn]
    return events
