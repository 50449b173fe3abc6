"""Inputs that the model writes: some itself, more through a generator, all checked by a validator program.

Inputs are asked for apart from outputs: writing an input is easy for a model that cannot solve the problem,
writing its output is not. The inputs of a later round are those of S* (Li et al. 2025, arXiv:2502.14382):
the model is shown two programs and asked where they part.

Nothing is run here: the sandbox makes inputs with the programs, and checks them.
"""

from __future__ import annotations

import ast
import warnings

from atlas.commands import WriteInputs
from atlas.contracts import MAX_CODE_CHARS, SamplingParams
from atlas.errors import BadOutput, BudgetSpent
from atlas.events import InputsWritten
from atlas.extract import program
from atlas.generated_inputs import WrittenInputs
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.worker import Context
from services.lens.input_schema import form, parameters, schema, texts

SEED_OFFSET = 600  # past the seeds of any policy's candidates and repairs
SEEDS_A_ROUND = 10
CALLS_A_ROUND = 3  # they share the round's tokens
TEMPERATURE = 0.7  # inputs are to vary
# A validator is to be what the statement says, so the likeliest one is asked for.
VALIDATOR_TEMPERATURE = 0.0
GENERATOR, VALIDATOR = "generate", "is_valid"


async def write_inputs(context: Context, server: ModelServer, command: WriteInputs) -> InputsWritten:
    """Ask for the inputs of a round: of any kind with both programs (round 0), or that tell two apart.

    An answer that cannot be used is simply missing, and so is one the token budget has nothing left for.

    Raises:
        BadOutput: if there is nothing that can be used (BudgetSpent: not a call could be made).
        ModelServerError: from the server.
    """
    if command.between is None:
        written = await _any(context, server)
    else:
        written = await _apart(context, server, command.between, command.round)
    if not (written.texts or written.generator or written.validator):
        raise BadOutput("the model wrote no input, and no program that makes or checks any")
    return InputsWritten(command=command.id, round=command.round, written=written)


async def _any(context: Context, server: ModelServer) -> WrittenInputs:
    written: dict[str, object] = {"texts": await _texts(context, server, "inputs", {})}
    programs = (
        ("generator", GENERATOR, TEMPERATURE, 1),
        ("validator", VALIDATOR, VALIDATOR_TEMPERATURE, 2),
    )
    try:
        for kind, name, temperature, turn in programs:
            request = await _request(context, server, f"input_{kind}", {}, temperature, turn)
            answer = (await call(context, server, kind, request)).choices[0].text
            written[kind] = helper(answer, name)
    except BudgetSpent:
        pass  # what there is must do
    return WrittenInputs.model_validate(written)


async def _apart(
    context: Context, server: ModelServer, between: tuple[str, str], number: int
) -> WrittenInputs:
    first, second = (context.state.candidates[name].code or "" for name in between)
    programs: dict[str, object] = {"first": first, "second": second}
    return WrittenInputs(texts=await _texts(context, server, "distinguish", programs, number))


async def _texts(
    context: Context, server: ModelServer, prompt: str, given: dict[str, object], number: int = 0
) -> tuple[str, ...]:
    """Inputs by structured output: `Policy.generated_inputs` at most."""
    problem, n = context.state.task.problem, context.state.task.policy.generated_inputs
    request = await _request(context, server, prompt, {"n": n, **given}, TEMPERATURE, SEEDS_A_ROUND * number)
    request = request.model_copy(update={"json_schema": schema(problem, n)})
    answer = (await call(context, server, prompt, request)).choices[0].text
    return tuple(texts(problem, answer)[:n])


async def _request(
    context: Context,
    server: ModelServer,
    prompt: str,
    given: dict[str, object],
    temperature: float,
    turn: int,
) -> CompletionRequest:
    problem, policy = context.state.task.problem, context.state.task.policy
    asked = messages(prompt, problem, parameters=parameters(problem), shown=form(problem), **given)
    sampling = SamplingParams(
        temperature=temperature,
        max_tokens=policy.input_tokens // CALLS_A_ROUND,
        seed=(policy.seed * 1000 + SEED_OFFSET + turn) % 2**32,
    )
    return CompletionRequest(prompt=await server.chat_prompt(asked), sampling=sampling)


def helper(answer: str, name: str) -> str | None:
    """Return the program in an answer if it is whole and defines the function `name`, else None."""
    code = program(answer, name)
    if code is None or len(code) > MAX_CODE_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program's own invalid escapes are not our business
            body = ast.parse(code).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    defined = any(isinstance(node, ast.FunctionDef) and node.name == name for node in body)
    return code if defined else None
