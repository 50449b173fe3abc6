"""One round of repair, from the evidence of the public examples (self-debugging, arXiv:2304.05128).

The model sees its program and the public examples it fails, with what came out instead; nothing else.
No policy of ours asks for repair yet: upstream's own runs show plain resampling to be cheaper, so it has to
earn its place in a measurement first.
"""

from __future__ import annotations

from atlas.candidates import candidate
from atlas.contracts import CandidateGenerated, Contract, Repair, SamplingParams, Verdict
from atlas.errors import BadOutput
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.state import TaskState
from atlas.worker import Context

SEED_OFFSET = 500
SHOWN_FAILURES = 2
SHOWN_CHARS = 600


class Failure(Contract):
    """A public example that the program fails."""

    input: str
    expected: str
    verdict: str
    got: str


def failures(state: TaskState, candidate_id: str) -> list[Failure]:
    """Return the first public examples that a candidate fails, each text cut to 600 characters."""
    pairs = zip(state.task.problem.examples, state.executions[candidate_id].results, strict=False)
    found = [
        Failure(
            input=example.input[:SHOWN_CHARS],
            expected=example.output[:SHOWN_CHARS],
            verdict=result.verdict.value.replace("_", " "),
            got=(result.error or result.output)[:SHOWN_CHARS],
        )
        for example, result in pairs
        if result.verdict is not Verdict.ACCEPTED
    ]
    return found[:SHOWN_FAILURES]


async def refine(context: Context, server: ModelServer, command: Repair) -> CandidateGenerated:
    """Ask once for a mended program.

    Raises:
        BadOutput: if the answer is a program that was tried before.
        ModelServerError: from the server.
    """
    state = context.state
    problem, policy = state.task.problem, state.task.policy
    broken = state.candidates[command.candidate]
    text = messages("repair", problem, code=broken.code, failures=failures(state, broken.id))
    sampling = SamplingParams(
        temperature=policy.temperature,
        max_tokens=policy.max_tokens,
        seed=(policy.seed * 1000 + SEED_OFFSET + command.index) % 2**32,
    )
    request = CompletionRequest(prompt=await server.chat_prompt(text), sampling=sampling)
    answer = (await call(context, server, "code", request)).choices[0]
    mended = candidate(answer, problem, sampling, id=f"r{command.index}", origin="repair", parent=broken.id)
    if mended.code is not None and mended.code in {c.code for c in state.candidates.values()}:
        raise BadOutput("the answer is a program that was tried before")
    return CandidateGenerated(command=command.id, candidate=mended)
