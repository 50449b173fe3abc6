"""Inputs to compare programs on: what the model wrote, what its generator makes, and examples varied.

Three sources, so that none's weakness is everyone's: the model's own texts (edge cases, but few), its
generator program (larger and more random), and variations of the public examples (surely of the right form,
but near them). They take turns until there are as many valid inputs as the policy asks for.

The validator is a program of the model too, and may be wrong: one that refuses a public example is not used.
Without examples nothing can refute it, so it is used only where it accepts at least half of the inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from atlas.commands import MakeInputs
from atlas.contracts import Problem
from atlas.events import InputsMade
from atlas.executor import Executor, Run, RunStatus
from atlas.generated_inputs import (
    MAX_INPUT_CHARS,
    MAX_ROUND_CHARS,
    GeneratedInput,
    InputOrigin,
    Validation,
    WrittenInputs,
)
from atlas.input_shape import fits
from atlas.mutations import mutations
from atlas.state import TaskState
from services.sandbox.asking import ask_each, helper

GENERATE, IS_VALID = "generate", "is_valid"
# Seeds whatever the generator draws from, so that its inputs are the same whenever it is run again.
SEEDED = """

def _seeded(function):
    def generate(seed):
        import random

        random.seed(seed)
        return function(seed)

    return generate


generate = _seeded(generate)
"""


async def make_inputs(executor: Executor, state: TaskState, command: MakeInputs) -> InputsMade:
    """Return the round's inputs: `Policy.generated_inputs` at most, distinct, none a public example's.

    Raises:
        ExecutorError: if the executor could not be asked, or spoiled every try.
    """
    problem, wanted = state.task.problem, state.task.policy.generated_inputs
    written = state.written.get(command.round, WrittenInputs())
    if command.round:
        offered = [GeneratedInput(text=t, origin="distinguishing") for t in _short(written.texts)]
    else:
        drawn = await _generated(executor, problem, written.generator, wanted) if written.generator else []
        varied = mutations(problem, wanted, state.task.policy.seed)
        offered = in_turns({"model": written.texts, "generator": drawn, "mutation": varied})
    known = {example.input for example in problem.examples}
    offered = [each for each in offered if each.text not in known and fits(problem, each.text)]
    validator, validation = await _validator(executor, state, command.round)
    refused = 0
    if validation in ("checked", "unchecked"):
        valid = await _accepted(executor, problem, validator, [each.text for each in offered])
        # One that round 0 has used is not doubted again for what a further round's few inputs are like.
        if validation == "checked" or command.round or (sum(valid) and 2 * sum(valid) >= len(valid)):
            refused = len(valid) - sum(valid)
            offered = [each for each, good in zip(offered, valid, strict=True) if good]
        else:
            validation = "none"
    return InputsMade(
        command=command.id,
        round=command.round,
        inputs=tuple(within(offered, wanted)),
        validation=validation,
        refused=refused,
    )


def in_turns(sources: dict[InputOrigin, Sequence[str]]) -> list[GeneratedInput]:
    """Return the sources' texts, one of each in turn, each text once and none that is too long."""
    turns = zip_longest(*([(origin, text) for text in _short(texts)] for origin, texts in sources.items()))
    found: dict[str, InputOrigin] = {}
    for origin, text in (pair for turn in turns for pair in turn if pair is not None):
        found.setdefault(text, origin)
    return [GeneratedInput(text=text, origin=origin) for text, origin in found.items()]


def within(offered: Iterable[GeneratedInput], wanted: int) -> list[GeneratedInput]:
    """Return the first `wanted` that fit into an event together."""
    kept: list[GeneratedInput] = []
    room = MAX_ROUND_CHARS
    for each in offered:
        if len(kept) < wanted and len(each.text) <= room:
            kept.append(each)
            room -= len(each.text)
    return kept


def _short(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if len(text) <= MAX_INPUT_CHARS]


async def _generated(executor: Executor, problem: Problem, code: str, n: int) -> list[str]:
    """What the generator returns for seeds 0 to n - 1, as inputs; runs that came to nothing are left out."""
    seeds = tuple(str(seed) for seed in range(n))
    runs, _ = await ask_each(executor, helper(problem, code + SEEDED, GENERATE, seeds))
    return [text for run in runs if (text := _as_input(problem, run)) is not None]


def _as_input(problem: Problem, run: Run) -> str | None:
    if run.status is not RunStatus.OK or not run.output:
        return None
    try:
        value = json.loads(run.output)
        if problem.kind == "stdin":
            text = value if isinstance(value, str) else ""
        else:
            text = _arguments(problem, value)
        text.encode()  # half a surrogate pair is in no text
    except (ValueError, RecursionError):  # also: a whole number of thousands of digits
        return None
    return text or None


def _arguments(problem: Problem, value: object) -> str:
    """A list of arguments, one a line. Of one argument, models often return itself: taken where it fits."""
    text = "\n".join(json.dumps(each) for each in value) if isinstance(value, list) else ""
    alone = json.dumps(value)
    return alone if problem.examples and fits(problem, alone) and not fits(problem, text) else text


async def _validator(executor: Executor, state: TaskState, round_: int) -> tuple[str, Validation]:
    """The task's validator and what became of it: found out in round 0, and so it stays."""
    first = state.written.get(0)
    if first is None or first.validator is None:
        return "", "none"
    if round_:
        made = state.inputs.get(0)
        return first.validator, made.validation if made is not None else "none"
    return first.validator, await _check(executor, state.task.problem, first.validator)


async def _check(executor: Executor, problem: Problem, validator: str) -> Validation:
    """Run the validator on the public examples, whose inputs are valid beyond doubt."""
    texts = [example.input for example in problem.examples]
    if not texts:
        return "unchecked"
    return "checked" if all(await _accepted(executor, problem, validator, texts)) else "refuted"


async def _accepted(executor: Executor, problem: Problem, validator: str, texts: Sequence[str]) -> list[bool]:
    """Whether the validator returns true for each; failing or taking too long is no acceptance."""
    if not texts:
        return []
    inputs = tuple(json.dumps(text) if problem.kind == "stdin" else text for text in texts)
    runs, _ = await ask_each(executor, helper(problem, validator, IS_VALID, inputs))
    return [run.status is RunStatus.OK and run.output.strip() == "true" for run in runs]
