"""Refinement: an analysis of the nearest failures in a fixed form, then a new program in its light.

Where PR-CoT mends one program, an iteration of this sees several and may leave them all behind. Two turns of
one conversation: first the kind of failure (six categories), its cause and what a right program must keep to,
as JSON under the server's grammar; then the program. The public examples that fail are all the evidence.
`atlas/pipeline.py` has each program executed before the next iteration; the policy's iterations, tokens and
seconds of the model end it, the latter two also within an iteration.
"""

from __future__ import annotations

from typing import get_args

from pydantic import ValidationError

from atlas.budget import refinement_seconds_left
from atlas.candidates import candidate
from atlas.commands import Refine
from atlas.contracts import FailureAnalysis, FailureCategory, SamplingParams
from atlas.errors import BadOutput, CallTimeout
from atlas.events import CandidateGenerated, Choice
from atlas.json_schema import begun, list_of, object_of
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import follow_up, messages, words
from atlas.worker import Context
from services.repair.proposals import failures, proposal

SEED_OFFSET = 800  # past the seeds of a task's other calls
SHOWN_FAILURES = 1  # public ones of each program
CATEGORIES: tuple[FailureCategory, ...] = get_args(FailureCategory)
SCHEMA = object_of(
    {
        # First what is wrong, then what kind of failure that is. The sentences are begun for the model: a
        # small one says again what it was asked, in the words it was asked in, where it may.
        "cause": begun(words("cause_begins")),
        "constraints": list_of(begun(words("constraint_begins")), 1, 3),
        "category": {"type": "string", "enum": list(CATEGORIES)},
    }
)


async def refine(context: Context, server: ModelServer, command: Refine) -> CandidateGenerated:
    """Ask what is wrong with `command.candidates`, then for a program that keeps to what follows from it.

    Raises:
        BadOutput: if the analysis is not whole, the program was tried before, or the tokens or the seconds of
            the policy's refinements are spent.
        ModelServerError: from the server.
    """
    problem, policy = context.state.task.problem, context.state.task.policy

    async def ask(
        name: str, turn: int, max_tokens: int, asked: list[dict[str, str]]
    ) -> tuple[Choice, SamplingParams]:
        left = refinement_seconds_left(context.state)
        spent = f"the {policy.refinement_seconds:g} s for refinements are spent"
        if left == 0 and f"{command.id}/{name}" not in context.state.calls:
            raise BadOutput(spent)
        request = CompletionRequest(
            prompt=await server.chat_prompt(asked),
            sampling=SamplingParams(
                temperature=policy.temperature,
                max_tokens=max_tokens,
                seed=(policy.seed * 1000 + SEED_OFFSET + 2 * command.index + turn) % 2**32,
            ),
            json_schema=SCHEMA if name == "analysis" else None,
            timeout_s=min(left, context.state.task.deadline_s) or None,
        )
        try:
            done = await call(context, server, name, request)
        except CallTimeout as error:
            raise BadOutput(spent) from error
        return done.choices[0], done.sampling

    programs = [
        {
            "code": context.state.candidates[name].code,
            "failures": failures(context.state, name, SHOWN_FAILURES),
        }
        for name in command.candidates
    ]
    asked = messages("failure", problem, programs=programs, categories=CATEGORIES)
    said, _ = await ask("analysis", 0, policy.analysis_max_tokens, asked)
    try:
        analysis = FailureAnalysis.model_validate_json(said.text)
    except ValidationError as error:
        raise BadOutput(f"the analysis is not whole ({said.finish}): {error.error_count()} errors") from error
    # The same conversation goes on, so that its whole first turn is served from the slot's cache.
    asked = follow_up(asked, said.text, "refine", problem, analysis=analysis)
    answer, sampling = await ask("code", 1, policy.max_tokens, asked)
    refined = candidate(
        answer,
        problem,
        sampling,
        id=f"f{command.index}",
        origin="repair",
        parent=command.candidates[0],
        analysis=analysis,
    )
    return proposal(context.state, command.id, refined)
