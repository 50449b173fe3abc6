"""What the scripted model says: a function of the prompt's content and the seed, and of nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.planning import plan_answer

TITLE = re.compile(r"^# Problem: \d+ (\w+)$", re.MULTILINE)
TASK = re.compile(r"sum times (\d+) plus (\d+)")
# The first sample that is right, by the course of the task; of the others none is.
FIRST_RIGHT = {"first": 0, "second": 1, "garbled": 1}
# What it writes to compare programs with, by the name of the function that the prompt asks for.
HELPERS = {
    "`generate(seed)`": "def generate(seed):\n    return f'{seed} {seed * 7}\\n'\n",
    "`is_valid(text)`": "def is_valid(text):\n    return len(text.split()) == 2\n",
}
Messages = Sequence[Mapping[str, str]]


def answer(messages: Messages, seed: int, schema: Mapping[str, Any] | None) -> str:
    """Return the answer to a conversation.

    Raises:
        ValueError: it is not about a problem of `problems.py`.
    """
    told = messages[1]["content"]
    title, task = TITLE.search(told), TASK.search(told)
    if title is None or task is None:
        raise ValueError(f"not a problem of ours: {told[:200]}")
    course, (factor, offset) = title[1], map(int, task.groups())
    if schema is not None:
        return _structured(course, schema, told, seed)
    if helper := next((code for name, code in HELPERS.items() if name in told), None):
        return f"```python\n{helper}```\n"
    mark = hashlib.sha256(json.dumps([messages, seed]).encode()).hexdigest()[:8]
    if len(messages) > 2:  # the turn after an analysis: the corrected program
        right = course == "mended" and int(mark, 16) % 2 == 0
    elif "```python" in told:
        return f"The program adds the wrong number in the end; it should add {offset} ({mark})."
    else:
        right = course in FIRST_RIGHT and seed % 1000 >= FIRST_RIGHT[course]
        if course == "garbled" and not right:
            return f"I would rather not write a program now ({mark})."
    # Some of the right ones are careless: they pass the examples and are wrong elsewhere.
    careless = right and int(mark, 16) % 3 == 0
    return _program(factor, offset if right else offset + 1 + int(mark, 16) % 100, mark, careless=careless)


def _structured(course: str, schema: Mapping[str, Any], told: str, seed: int) -> str:
    if "inputs" in schema.get("properties", ()):
        return json.dumps({"inputs": [f"{seed % 90} {n * 40}\n" for n in range(4)]})
    if "enum" in schema:  # a reading: which result is right
        return json.dumps(schema["enum"][seed % 2])
    return _plans(course, schema, told)


def _plans(course: str, schema: Mapping[str, Any], told: str) -> str:
    if course == "garbled":
        return '{"sets": [{"family": "cut o'
    return plan_answer(schema, told, [f"Way {i} to add" for i in range(16)])


def _program(factor: int, offset: int, mark: str, *, careless: bool = False) -> str:
    result = f"(a + b) * {factor} + {offset}" + (" if b < 40 else 0" if careless else "")
    code = f"# {mark}\na, b = map(int, input().split())\nprint({result})"
    return f"Here it is:\n```python\n{code}\n```\n"
