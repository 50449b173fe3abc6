"""Brute-force programs: slow, simple, asked for as such, so that their outputs can be tests for others.

One draw each, at the policy's temperature. Whether one is to be trusted is found out by running it on the
public examples, and its output on an input counts only where others agree (`atlas/self_tests.py`).
"""

from __future__ import annotations

from atlas.candidates import candidate, handed_in
from atlas.commands import EnterBruteForce, WriteBruteForce
from atlas.contracts import MAX_CODE_CHARS, SamplingParams
from atlas.errors import BadOutput
from atlas.events import BruteForceWritten, CandidateGenerated
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.state import TaskState
from atlas.worker import Context

CALL = "code"
SEED_OFFSET = 900  # past the seeds of a task's other calls


async def write(context: Context, server: ModelServer, command: WriteBruteForce) -> BruteForceWritten:
    """Ask for a brute-force program.

    Raises:
        BadOutput: if the answer holds no program, one too long, or the token budget is spent.
        ModelServerError: from the server.
    """
    problem, policy = context.state.task.problem, context.state.task.policy
    sampling = SamplingParams(
        temperature=policy.temperature,
        max_tokens=policy.max_tokens,
        seed=(policy.seed * 1000 + SEED_OFFSET + command.index) % 2**32,
    )
    prompt = await server.chat_prompt(messages("brute_force", problem))
    done = await call(context, server, CALL, CompletionRequest(prompt=prompt, sampling=sampling))
    code = handed_in(done.choices[0].text, problem)
    if code is None or len(code) > MAX_CODE_CHARS:
        raise BadOutput("the answer holds no program that can be run")
    return BruteForceWritten(command=command.id, program=f"b{command.index}", code=code)


def enter(state: TaskState, command: EnterBruteForce) -> CandidateGenerated:
    """Make a brute-force program a candidate of its name, with what was recorded when it was drawn."""
    done = state.calls[f"{command.written_by}/{CALL}"]
    choice, problem = done.choices[0], state.task.problem
    drawn = candidate(choice, problem, done.sampling, id=command.program, origin="brute_force")
    return CandidateGenerated(command=command.id, candidate=drawn)
