"""Drawing candidate programs: from the problem alone, or following one plan."""

from __future__ import annotations

from atlas.contracts import (
    MAX_CODE_CHARS,
    Candidate,
    CandidateGenerated,
    Choice,
    Generate,
    Problem,
    SamplingParams,
)
from atlas.extract import program
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context


async def generate(
    context: Context, server: ModelServer, command: Generate, slots: int
) -> list[CandidateGenerated]:
    """Draw `command.n` candidates of one prompt, `slots` (all that the server can) in each call.

    Seeds: policy seed times 1000 plus the index of the call's first candidate. The server adds one for each
    further choice of a call, so no two candidates share a seed, however they are divided into calls.

    Raises:
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
        done = await call(context, server, f"code:{first}", request)
        events += [
            _candidate(command, first + i, choice, sampling, problem) for i, choice in enumerate(done.choices)
        ]
    return events


def _candidate(
    command: Generate, index: int, choice: Choice, sampling: SamplingParams, problem: Problem
) -> CandidateGenerated:
    code = program(choice.text, problem.entry_point)
    candidate = Candidate(
        id=f"c{index}",
        origin="sample" if command.plan is None else "plan",
        plan=command.plan,
        code=code if code is None or len(code) <= MAX_CODE_CHARS else None,
        sampling=sampling,
        usage=choice.usage,
        logprob=choice.logprob,
    )
    return CandidateGenerated(command=command.id, candidate=candidate)
