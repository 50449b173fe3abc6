"""Tasks known to be odd (`oddities.toml`): several right answers, interactive, wrong tests; with reasons.

They stay in the headline rate; reports mark them and show the rate without them beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from atlas.contracts import Contract
from atlas.errors import ConfigError
from benchmark.tasks import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).parent / "oddities.toml"
OddityKind = Literal["multi_answer", "interactive", "wrong_tests", "wrong_example"]


class Oddity(Contract):
    """Why one task's tests do not say what its statement says.

    Attributes:
        id: the task's id as it stands in its data set; empty where only the title is known.
        title: LeetCode's slug, which is the title of LiveCodeBench's rows; empty where the id is enough.
        source: who found it, in words.
        strict: the strict rate leaves the task out.
    """

    id: str = ""
    title: str = ""
    kind: OddityKind
    reason: str = Field(min_length=1)
    source: str = Field(min_length=1)
    strict: bool

    @model_validator(mode="after")
    def _named(self) -> Oddity:
        if not (self.id or self.title):
            raise ValueError("names no task: give id or title")
        return self


@cache
def oddities() -> tuple[Oddity, ...]:
    """All of them, in the file's order.

    Raises:
        ConfigError: the file is malformed.
    """
    return read(FILE)


def read(path: Path) -> tuple[Oddity, ...]:
    """The oddities of a file like `oddities.toml`.

    Raises:
        ConfigError: it is no such file, or names a task twice.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
        sources: Mapping[str, str] = content["sources"]
        found = tuple(
            Oddity.model_validate(entry | {"source": sources[entry["source"]]}) for entry in content["task"]
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValidationError) as e:
        raise ConfigError(f"{path}: is not a list of oddities: {type(e).__name__}: {e}") from e
    names = [name for oddity in found for name in {oddity.id, oddity.title} if name]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: names a task twice: {', '.join(twice)}")
    return found


def for_task(task_id: str, title: str = "") -> Oddity | None:
    """What is odd about a task; None for nearly all of them.

    `title` is asked for only where a LeetCode task's number is not in the file.
    """
    for oddity in oddities():
        if (oddity.id and oddity.id == task_id) or (not oddity.id and oddity.title == title):
            return oddity
    return None


def of(task: Task) -> Oddity | None:
    """What is odd about a loaded task; None for nearly all of them."""
    return for_task(task.id, task.title)
