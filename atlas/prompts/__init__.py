"""Prompts: one Jinja2 file each, in our own words, hashed into every task's pins.

So is what we put into the model's mouth: what its thinking is cut or gone on with, how its sentences begin.

Every conversation begins with the same system message and problem text and puts what varies last, so that
all calls of one task share their prefix in the server's cache.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from atlas.contracts import LETTERS, Example, Problem

_DIR = Path(__file__).parent
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_DIR),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - prompts are plain text, not HTML
)


def _python(value: str) -> str:
    """A JSON value as Python writes it; what is no JSON, as it is."""
    try:
        return repr(json.loads(value))
    except ValueError:
        return value.strip()


def _call(problem: Problem, example: Example) -> str:
    """The call that an example of a `function` problem stands for, as a program would write it.

    Small models take arguments that are listed one a line for input to read.
    """
    return _render("_call", problem, example=example)


def _told(example: Example, problem: Problem) -> bool:
    """Whether the statement already shows the example: as a call, or each of its lines as a line."""
    if problem.examples_in_statement:
        return True
    if problem.kind == "function" and _call(problem, example) in problem.statement:
        return True
    lines = {line.strip() for line in problem.statement.splitlines()}
    return all(line.strip() in lines for line in [*example.input.splitlines(), *example.output.splitlines()])


_ENVIRONMENT.tests["told_in"] = _told
_ENVIRONMENT.filters["python"] = _python
_ENVIRONMENT.globals.update(letters=LETTERS, call=_call)


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_DIR.rglob("*.j2")):
        digest.update(path.relative_to(_DIR).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


PROMPTS_SHA256 = _digest()


def messages(name: str, problem: Problem, **values: object) -> list[dict[str, str]]:
    """Return the chat messages of prompt `name` for a problem.

    Raises:
        jinja2.UndefinedError: if the prompt uses a value that was not given.
    """
    return [
        {"role": "system", "content": _render("system", problem)},
        {"role": "user", "content": _render(name, problem, **values)},
    ]


def follow_up(
    so_far: list[dict[str, str]], answer: str, name: str, problem: Problem, **values: object
) -> list[dict[str, str]]:
    """Return a conversation with the model's answer and one more prompt of ours.

    Raises:
        jinja2.UndefinedError: if the prompt uses a value that was not given.
    """
    return [
        *so_far,
        {"role": "assistant", "content": answer.strip()},
        {"role": "user", "content": _render(name, problem, **values)},
    ]


def words(name: str) -> str:
    """Return a text of ours that is no message but a part of what the model writes, to the last blank."""
    return _ENVIRONMENT.get_template(f"{name}.j2").render()


def _render(name: str, problem: Problem, **values: object) -> str:
    return _ENVIRONMENT.get_template(f"{name}.j2").render(problem=problem, **values).strip()
