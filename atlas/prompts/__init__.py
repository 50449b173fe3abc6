"""Prompts: one Jinja2 file each, in our own words, hashed into every task's pins.

Every conversation begins with the same system message and problem text and puts what varies last, so that
all calls of one task share their prefix in the server's cache.
"""

from __future__ import annotations

import hashlib
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


def _told(example: Example, statement: str) -> bool:
    """Whether the statement already prints the example: every line of it, as a line of its own."""
    lines = {line.strip() for line in statement.splitlines()}
    return all(line.strip() in lines for line in [*example.input.splitlines(), *example.output.splitlines()])


_ENVIRONMENT.tests["told_in"] = _told
_ENVIRONMENT.globals["letters"] = LETTERS


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


def _render(name: str, problem: Problem, **values: object) -> str:
    return _ENVIRONMENT.get_template(f"{name}.j2").render(problem=problem, **values).strip()
