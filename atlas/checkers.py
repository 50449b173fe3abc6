"""Is this output the expected one? Pure functions over texts; none of them ever raises.

Two checkers, one signature:

- `official`: LiveCodeBench's own rules (lcb_runner/evaluation/testing_util.py), for comparable numbers.
  Not carried over: it told a list from a tuple below the top level of a returned value, which JSON cannot.
- `strict`: the same with its known faults mended (each is named at the function).

Both kinds of problem: `stdin` compares printed text, `function` compares returned values as JSON. An
output that cannot be parsed is a wrong output. LiveCodeBench's special multi-answer problems are judged
against their single listed answer, as it does.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Literal

Checker = Literal["official", "strict"]

TOLERANCE = 1e-6
# Longer integers than this are read as Decimal: int() of a long text is quadratic and refused by CPython.
_LONGEST_INT_TEXT = 4_000
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]{1,6})?")


def matches(kind: Literal["stdin", "function"], output: str, expected: str, checker: Checker) -> bool:
    """True if `output` is right for a problem of this kind under this checker."""
    if kind == "stdin":
        return stdin_official(output, expected) if checker == "official" else stdin_strict(output, expected)
    return function_official(output, expected) if checker == "official" else function_strict(output, expected)


def agree(kind: Literal["stdin", "function"], one: str, other: str) -> bool:
    """Whether two outputs, neither of which is known to be right, are the same by the strict rules.

    Symmetric: near-equal floats agree, whichever of them is written as a decimal. Not transitive.
    """
    return one == other or matches(kind, one, other, "strict") or matches(kind, other, one, "strict")


# ---------------------------------------------------------------- printed text


def stdin_official(output: str, expected: str) -> bool:
    """LiveCodeBench's rule for printed text.

    Strip the whole, split at newlines, strip each line; as many lines; each pair of lines equal as text, or
    token by token equal as `Decimal` (so 1.0 is 1, 1_0 is 10, and there is no tolerance; one token that is
    no number fails the line; NaN equals nothing).
    """
    got, want = _lines(output), _lines(expected)
    return len(got) == len(want) and all(
        g == w or _equal_decimals(g, w) for g, w in zip(got, want, strict=True)
    )


def stdin_strict(output: str, expected: str) -> bool:
    """The official rule with its faults mended.

    - tokens are compared one by one, so a line may mix words and numbers and space them freely;
    - where the expected token is written as a decimal (a point or an exponent), a finite number within
      1e-6 of it, absolutely or relatively, will do; integers stay exact (5.0 is 5);
    - a number is ASCII digits with an optional point and exponent: not 1_0, Infinity, or other scripts.
    """
    got, want = _lines(output), _lines(expected)
    return len(got) == len(want) and all(
        _same_tokens(g.split(), w.split()) for g, w in zip(got, want, strict=True)
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _equal_decimals(got: str, want: str) -> bool:
    try:
        return [Decimal(t) for t in got.split()] == [Decimal(t) for t in want.split()]
    except ArithmeticError:  # not a number, or a signalling NaN
        return False


def _same_tokens(got: list[str], want: list[str]) -> bool:
    return len(got) == len(want) and all(g == w or _same_number(g, w) for g, w in zip(got, want, strict=True))


def _same_number(got: str, want: str) -> bool:
    written, other = _NUMBER.fullmatch(want), _NUMBER.fullmatch(got)
    if written is None or other is None:
        return False
    try:
        if Decimal(got) == Decimal(want):
            return True
        return any(written.groups()) and _close(float(got), float(want))
    except ArithmeticError:
        return False


def _close(got: float, want: float) -> bool:
    if not (math.isfinite(got) and math.isfinite(want)):
        return got == want
    return abs(got - want) <= TOLERANCE * max(1.0, abs(want))


# ---------------------------------------------------------------- returned values


def function_official(output: str, expected: str) -> bool:
    """LiveCodeBench's rule for returned values.

    Both parsed as JSON, then Python's `==`: no tolerance, 1 == 1.0 == true, NaN equals nothing.
    """
    try:
        return bool(_parse(output) == _parse(expected))
    except ValueError:
        return False
    except RecursionError:  # nested deeper than Python's parser goes: only the very same text will do
        return output.strip() == expected.strip()


def function_strict(output: str, expected: str) -> bool:
    """The official rule with its faults mended.

    - true and false are not 1 and 0;
    - where the expected number is written as a decimal, 1e-6 absolutely or relatively will do;
    - NaN equals NaN, since a function may rightly return it.
    """
    try:
        waiting = [(_parse(output), _parse(expected))]
        while waiting:
            got, want = waiting.pop()
            if isinstance(want, list) and isinstance(got, list) and len(got) == len(want):
                waiting.extend(zip(got, want, strict=True))
            elif isinstance(want, dict) and isinstance(got, dict) and got.keys() == want.keys():
                waiting.extend((got[key], want[key]) for key in want)
            elif not _same_scalar(got, want):
                return False
    except ValueError:
        return False
    except RecursionError:
        return output.strip() == expected.strip()
    return True


def _same_scalar(got: object, want: object) -> bool:
    if isinstance(got, bool) or isinstance(want, bool):
        return got is want
    if not isinstance(want, (int, float, Decimal)):
        return not isinstance(want, (list, dict)) and type(got) is type(want) and got == want
    if not isinstance(got, (int, float, Decimal)):
        return False
    if isinstance(want, float):
        if math.isnan(want):
            return isinstance(got, float) and math.isnan(got)
        return got == want or _close(_as_float(got), want)
    return bool(got == want)


def _as_float(number: int | float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:  # an int beyond 1.8e308
        return math.inf if number > 0 else -math.inf


def _parse(text: str) -> object:
    """The JSON value.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    value: object = json.loads(text, parse_int=_parse_int)
    return value


def _parse_int(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INT_TEXT else Decimal(text)
