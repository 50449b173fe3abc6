"""What the runner knows about a task: the problem it may hand out, and the hidden tests it may not.

`HiddenTests` refuses every common way out of this process (pickle, copy, pydantic, JSON, `repr`), because
whatever decides the score must never reach whatever produces the answer (DESIGN.md, promise 1, *blind*).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NoReturn

from atlas.contracts import Example, Problem


class HiddenTests:
    """The tests that decide the score. Immutable; only the grader reads `tests`.

    Not a dataclass or a pydantic model on purpose: `dataclasses.asdict`, `model_dump` and FastAPI would all
    happily serialise one.

    Raises:
        ValueError: there are no tests. A task with zero tests would be passed by every program.
    """

    __slots__ = ("_tests",)
    _tests: tuple[Example, ...]

    def __init__(self, tests: tuple[Example, ...]) -> None:
        if not tests:
            raise ValueError("a task needs at least one hidden test")
        object.__setattr__(self, "_tests", tests)

    @property
    def tests(self) -> tuple[Example, ...]:
        """Inputs and expected outputs, in the order of the data."""
        return self._tests

    def __len__(self) -> int:
        return len(self._tests)

    def __eq__(self, other: object) -> bool:
        return self._tests == other._tests if isinstance(other, HiddenTests) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._tests)

    def __repr__(self) -> str:
        return f"HiddenTests(<{len(self)} not shown>)"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("HiddenTests cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("HiddenTests cannot be changed")

    def __reduce__(self) -> NoReturn:
        raise TypeError("hidden tests never leave the runner's process: they cannot be pickled or copied")


@dataclass(frozen=True)
class Task:
    """One benchmark task. `problem` is all that the solving stack may be sent.

    `difficulty` is empty and `date` is None where the data does not say.
    """

    id: str
    title: str
    platform: str
    difficulty: str
    date: date | None
    problem: Problem
    hidden: HiddenTests

    @property
    def grading_tests(self) -> tuple[Example, ...]:
        """Public, then hidden tests: LiveCodeBench grades on both, and all must pass."""
        return self.problem.examples + self.hidden.tests
