"""The last resort between two programs: the model reads the statement and says whose output it calls for.

Half of the votes are cast with one output shown first, half with the other: a model that favours a place
favours neither program.
"""

from __future__ import annotations

import json

from atlas.commands import ReadStatement
from atlas.contracts import SamplingParams
from atlas.errors import BadOutput, BudgetSpent
from atlas.events import StatementRead
from atlas.generated_inputs import ProbedRun
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.prompts import messages
from atlas.state import TaskState
from atlas.worker import Context
from services.lens.signatures import agree, ended_well

SEED_OFFSET = 700  # past the seeds of the inputs
TEMPERATURE = 0.7
MAX_TOKENS = 8  # of a letter in quotation marks
LETTERS = ("A", "B")
SCHEMA: dict[str, object] = {"type": "string", "enum": list(LETTERS)}


def telling(state: TaskState, between: tuple[str, str]) -> tuple[str, str, str] | None:
    """Return the shortest input on which both programs ended well, differently, and what each gave on it.

    Candidates of equal code share what one of them was run for. A program that fails gives nothing that a
    statement could call for. Outputs alike as far as they are kept cannot be told apart by reading.
    """
    kind = state.task.problem.kind
    if kind not in ("stdin", "function"):
        return None
    found: list[tuple[str, str, str]] = []
    for number, made in sorted(state.inputs.items()):
        one, other = (_runs(state, number, name) for name in between)
        for given, a, b in zip(made.inputs, one, other, strict=False):
            well = ended_well(kind, a) and ended_well(kind, b)
            if well and a.output != b.output and not agree(kind, a, b):
                found.append((given.text, a.output, b.output))
    return min(found, key=lambda each: len(each[0]), default=None)


def _runs(state: TaskState, number: int, candidate: str) -> tuple[ProbedRun, ...]:
    code = state.candidates[candidate].code
    alike = [name for name, c in state.candidates.items() if c.code == code]
    return next((state.probes[number, name] for name in alike if (number, name) in state.probes), ())


async def read_statement(context: Context, server: ModelServer, command: ReadStatement) -> StatementRead:
    """Ask for `Policy.readings` votes on one input: the first shown first in half of them (an odd one too).

    Votes that the token budget has nothing left for are not cast. Votes of one order follow each other, so
    that all but the first find the whole prompt in the slot's cache.

    Raises:
        BadOutput: if no input tells the two apart, or no vote could be used.
        ModelServerError: from the server.
    """
    state = context.state
    problem, policy = state.task.problem, state.task.policy
    found = telling(state, command.between)
    if found is None:
        raise BadOutput("on no input do the two programs give different outputs")
    text, *outputs = found
    votes = [0, 0]
    try:
        for place in range(policy.readings):
            swapped = place >= (policy.readings + 1) // 2
            a, b = reversed(outputs) if swapped else outputs
            prompt = await server.chat_prompt(messages("read_statement", problem, input=text, a=a, b=b))
            sampling = SamplingParams(
                temperature=TEMPERATURE,
                max_tokens=MAX_TOKENS,
                seed=(policy.seed * 1000 + SEED_OFFSET + place) % 2**32,
            )
            request = CompletionRequest(prompt=prompt, sampling=sampling, json_schema=SCHEMA)
            answer = (await call(context, server, f"vote{place}", request)).choices[0].text
            if (letter := _letter(answer)) is not None:
                votes[LETTERS.index(letter) ^ swapped] += 1
    except BudgetSpent:
        pass  # the votes cast must do; without any the check below says so
    if not any(votes):
        raise BadOutput("no vote of the model names one of the two outputs")
    return StatementRead(command=command.id, between=command.between, input=text, votes=(votes[0], votes[1]))


def _letter(answer: str) -> str | None:
    try:
        value = json.loads(answer)
    except ValueError:
        value = answer.strip()
    return value if value in LETTERS else None
