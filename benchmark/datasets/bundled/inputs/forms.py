"""What the generators share: the two forms of an input, and random lists and words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

Inputs = list[str]
Generator = Callable[[random.Random], Inputs]


def call(*arguments: object) -> str:
    """LiveCodeBench's form of a call: one JSON value per line."""
    return "\n".join(json.dumps(a) for a in arguments)


def lines(*rows: object) -> str:
    """Text for stdin: a row is a string, or an iterable of values printed with spaces."""
    return "".join(
        (row if isinstance(row, str) else " ".join(map(str, row))) + "\n"  # type: ignore[call-overload]
        for row in rows
    )


def ints(rng: random.Random, n: int, low: int, high: int) -> list[int]:
    """`n` integers from `low` to `high`, both included."""
    return [rng.randint(low, high) for _ in range(n)]


def word(rng: random.Random, length: int, alphabet: str) -> str:
    """`length` characters of the alphabet."""
    return "".join(rng.choice(alphabet) for _ in range(length))
