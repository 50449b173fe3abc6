"""Drawing candidate programs: from the problem alone, or following one plan."""

from __future__ import annotations

from atlas.contracts import Candidate, CandidateGenerated, Generate, SamplingParams
from atlas.extract import program
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context


async def generate(context: Context, server: ModelServer, command: Generate) -> list[CandidateGenerated]:
    """Draw `command.n` candidates of one prompt in one call.

    Seeds: policy seed times 1000 plus the index of the first candidate, so that no two calls share one.

    Raises:
        ModelServerError: from the server.
    """
    task = context.state.task
    problem, policy = task.problem, task.policy
    if command.plan is None:
        text = messages("solve", problem)
    else:
        text = messages("implement", problem, plan=context.state.plans[command.plan])
    sampling = SamplingParams(
        temperature=policy.temperature,
        max_tokens=policy.max_tokens,
        seed=(policy.seed * 1000 + command.first) % 2**32,
    )
    prompt = await server.chat_prompt(text)
    request = CompletionRequest(prompt=prompt, sampling=sampling, n=command.n)
    done = await call(context, server, "code", request)
    return [
        CandidateGenerated(
            command=command.id,
            candidate=Candidate(
                id=f"c{command.first + i}",
                origin="sample" if command.plan is None else "plan",
                plan=command.plan,
                code=program(choice.text, problem.entry_point),
                sampling=sampling,
                usage=choice.usage,
                logprob=choice.logprob,
            ),
        )
        for i, choice in enumerate(done.choices)
    ]
