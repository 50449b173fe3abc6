"""Drawing candidate programs: from the problem alone, after a plan, or with the problem put differently.

The twelve ways to put a problem are those of DivSampling (arXiv:2502.11027) in kind: roles, instructions and
styles. Each stands after the problem, so that a task's prompts share their prefix (`atlas/prompts`).
"""

from __future__ import annotations

from typing import Literal

from atlas.budget import spendable
from atlas.candidates import candidate
from atlas.commands import Generate
from atlas.contracts import SamplingParams, Thinking
from atlas.errors import BudgetSpent
from atlas.events import CandidateGenerated
from atlas.lens.served import keeps_spans
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context
from services.planner import budget_forcing
from services.planner.budget_forcing import Draw


async def generate(
    context: Context, server: ModelServer, command: Generate, slots: int
) -> list[CandidateGenerated]:
    """Draw `command.n` candidates of one prompt, `slots` (all that the server can) in each call.

    A policy with the Lens has each candidate's span embedding journaled, where the server can give it and the
    task's weights are not of another set.
    A model that thinks does so first, as long as the policy lets it: see `services.planner.budget_forcing`,
    which draws one candidate at a time.
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
        text = messages("solve", problem, perturbation=command.perturbation)
    else:
        text = messages("implement", problem, plan=context.state.plans[command.plan])
    temperature = 0.0 if command.greedy else policy.temperature
    tokens = policy.thinking_tokens if command.thinking_tokens is None else command.thinking_tokens
    thinks = tokens > 0 and task.pins.thinks and not command.greedy
    tags = await server.thinking() if thinks else None
    prompt = await server.chat_prompt(text, thinking=tags is not None)
    left = _left_at_first(context)
    events: list[CandidateGenerated] = []
    together = slots if tags is None else 1
    for first in range(command.first, command.first + command.n, together):
        n = min(together, command.first + command.n - first)
        try:
            if tags is None:
                draws = await _draw(context, server, prompt, temperature, first, n)
            else:
                draw = await budget_forcing.draw(context, server, prompt, tags.closing, first, left, tokens)
                draws = [draw]
        except BudgetSpent:
            if not events:
                raise
            break
        origin: Literal["sample", "plan"] = "sample" if command.plan is None else "plan"
        for i, draw in enumerate(draws, first):
            drawn = candidate(
                draw.choice,
                problem,
                draw.sampling,
                id=f"c{i}",
                origin=origin,
                plan=command.plan,
                perturbation=command.perturbation,
                thinking=_tiered(draw.thinking, command),
            )
            events.append(CandidateGenerated(command=command.id, candidate=drawn))
            left = None if left is None else left - drawn.usage.tokens_out
    return events


def _tiered(thinking: Thinking | None, command: Generate) -> Thinking | None:
    """The thinking with the tier it was given, and why, where it was given one."""
    if command.thinking_tokens is None:
        return thinking
    given = {"tier": command.thinking_tokens, "difficulty": command.difficulty}
    return (thinking or Thinking(tokens=0)).model_copy(update=given)


async def _draw(
    context: Context, server: ModelServer, prompt: str, temperature: float, first: int, n: int
) -> list[Draw]:
    policy = context.state.task.policy
    seed = (policy.seed * 1000 + first) % 2**32
    sampling = SamplingParams(temperature=temperature, max_tokens=policy.max_tokens, seed=seed)
    embedding = keeps_spans(context.state.task)
    request = CompletionRequest(prompt=prompt, sampling=sampling, n=n, embedding=embedding)
    done = await call(context, server, f"code:{first}", request)
    return [Draw(choice, done.sampling) for choice in done.choices]


def _left_at_first(context: Context) -> int | None:
    """Tokens the task had left when the command was first taken up: the same each time it is delivered."""
    left = spendable(context.state, context.command.id)
    if left is None:
        return None
    ours = [call for call in context.state.calls.values() if call.command == context.command.id]
    return left + sum(choice.usage.tokens_out for call in ours for choice in call.choices)
