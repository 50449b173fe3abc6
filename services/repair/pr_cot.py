"""PR-CoT: repair by looking at a failing program from four perspectives, one proposal at a time.

After poly-reflective chain of thought (arXiv:2601.07780). Each proposal is two short turns of one
conversation: the model says what is wrong, seen from one perspective, then writes the corrected program. It
sees its program and the public examples and self-tests it fails, with what came out instead: nothing else.
`atlas/pipeline.py` has each proposal executed before the next is asked for, and ends it at the token budget.
"""

from __future__ import annotations

from atlas.candidates import candidate
from atlas.commands import Repair
from atlas.contracts import SamplingParams
from atlas.events import CandidateGenerated
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import follow_up, messages
from atlas.worker import Context
from services.repair.proposals import failures, proposal

SEED_OFFSET = 500  # past the seeds of any policy's candidates


async def repair(context: Context, server: ModelServer, command: Repair) -> CandidateGenerated:
    """Ask for an analysis from `command.perspective`, then for the program mended in its light.

    Raises:
        BadOutput: if the answer is a program that was tried before, or the token budget is spent.
        ModelServerError: from the server.
    """
    state = context.state
    problem, policy = state.task.problem, state.task.policy
    broken = state.candidates[command.candidate]

    def sampling(max_tokens: int, turn: int) -> SamplingParams:
        seed = (policy.seed * 1000 + SEED_OFFSET + 2 * command.index + turn) % 2**32
        return SamplingParams(temperature=policy.temperature, max_tokens=max_tokens, seed=seed)

    evidence = {"code": broken.code, "failures": failures(state, broken.id)}
    asked = messages("analyse", problem, perspective=command.perspective, **evidence)
    request = CompletionRequest(
        prompt=await server.chat_prompt(asked), sampling=sampling(policy.analysis_max_tokens, 0)
    )
    analysis = (await call(context, server, "analysis", request)).choices[0].text
    # The same conversation goes on, so that its whole first turn is served from the slot's cache.
    asked = follow_up(asked, analysis, "repair", problem)
    drawn = sampling(policy.max_tokens, 1)
    request = CompletionRequest(prompt=await server.chat_prompt(asked), sampling=drawn)
    done = await call(context, server, "code", request)
    mended = candidate(
        done.choices[0],
        problem,
        done.sampling,
        id=f"r{command.index}",
        origin="repair",
        parent=broken.id,
        perspective=command.perspective,
    )
    return proposal(state, command.id, mended)
