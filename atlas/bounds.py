"""Limits on numbers, read from a statement where they are written as `1 <= n <= 10^5` is.

Only chains with a number at both ends are read, in plain text or TeX; what is not understood is no bound. A
bound is never believed against a public example: one that an example breaks is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from atlas.contracts import Problem
from atlas.input_shape import signature

_LESS = r"(?:<=|<|≤|⩽)"
_NUMBER = r"[-+]?\d+(?:\*\d+)?(?:\^\d+)?"
_NAMES = r"[A-Za-z](?:[\w.\[\]|,]|\(\w+\))*"
_CHAIN = re.compile(
    rf"(?<![\w^*.])(?P<low>{_NUMBER})(?P<first>{_LESS})(?P<names>{_NAMES}(?:{_LESS}{_NAMES})*)(?P<last>{_LESS})"
    rf"(?P<high>{_NUMBER})(?![\w^*(/])(?!\.\d)"
)
_TEX = (
    (re.compile(r"\\(?:leqslant|leq|le)(?![A-Za-z])"), "<="),
    (re.compile(r"\\lt(?![A-Za-z])|&lt;"), "<"),
    (re.compile(r"\\(?:cdot|times)(?![A-Za-z])|×|·"), "*"),
    (re.compile(r"\\[,;!: ]|~"), ""),
    (re.compile(r"\\(?:dots|ldots|text|mathrm)(?![A-Za-z])"), ""),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"[${}`]"), ""),
    (re.compile(r"(?<=\d)(?:,|_)(?=\d{3}(?!\d))"), ""),
    (re.compile(r"[ \t]*(<=|<|≤|⩽|\*|\^)[ \t]*"), r"\1"),
    (re.compile(r"(?<=[\w\]]),[ \t]+(?=[A-Za-z][\w.\[\]]*[<≤⩽,])"), ","),
)
_HIGHEST_POWER = 40


class Bound(NamedTuple):
    """The least and the greatest whole number allowed."""

    low: int
    high: int


def bounds(statement: str) -> dict[str, Bound]:
    r"""Return the bounds of a statement by name, as written there without spaces, braces and dollar signs.

    `1 \le a_i, b_i \le 10^9` is a bound of `a_i` and of `b_i`; `nums.length` and `nums[i]` are names too. A
    name with two bounds (subtasks, say) gets the range of both.
    """
    text = statement
    for pattern, plain in _TEX:
        text = pattern.sub(plain, text)
    found: dict[str, Bound] = {}
    for match in _CHAIN.finditer(text):
        low, high = _value(match["low"]), _value(match["high"])
        if low is None or high is None:
            continue
        low, high = low + (match["first"] == "<"), high - (match["last"] == "<")
        if low > high:
            continue
        for name in re.split(rf"{_LESS}|,", match["names"]):
            if name:
                known = found.get(name, Bound(low, high))
                found[name] = Bound(min(low, known.low), max(high, known.high))
    return found


def within(problem: Problem) -> Callable[[str], bool]:
    """Return whether an input keeps to the bounds of the problem's statement, as far as they can be told.

    A function's arguments and their elements are known by name. The numbers of a text are not, so they are
    only held to the widest range of all.
    """
    found = bounds(problem.statement)
    if problem.kind == "function":
        tests = [_named(name, parameters(problem), found) for name in parameters(problem)]
    else:
        wide = _widest(found)
        tests = [lambda text: wide is None or all(_in(int(n), wide) for n in _NUMBERS.findall(text))]
    believed = [test for test in tests if all(test(example.input) for example in problem.examples)]
    return lambda text: all(test(text) for test in believed)


def parameters(problem: Problem) -> list[str]:
    """Names of the parameters of a function problem by its starter code; empty where it does not say."""
    return [each.arg for each in signature(problem) or []]


_NUMBERS = re.compile(r"(?<![\w.])-?\d{1,30}(?![\w.])")


def _value(text: str) -> int | None:
    factor, _, rest = text.rpartition("*")
    base, _, power = rest.partition("^")
    if power and (len(power) > 2 or int(power) > _HIGHEST_POWER or len(base) > 4):
        return None
    if len(base) > _HIGHEST_POWER or len(factor) > _HIGHEST_POWER:
        return None
    sign = -1 if not factor and base.startswith("-") else 1
    value: int = int(base.lstrip("+-")) ** int(power or 1)
    return sign * value * int(factor or 1)


def _widest(found: Mapping[str, Bound]) -> Bound | None:
    if not found:
        return None
    return Bound(min(each.low for each in found.values()), max(each.high for each in found.values()))


def _named(name: str, names: Sequence[str], found: Mapping[str, Bound]) -> Callable[[str], bool]:
    """Whether the argument `name` of an input keeps to what the statement says of it."""
    at = names.index(name)
    length = found.get(f"{name}.length") or found.get(f"|{name}|") or found.get(f"len({name})")
    inner = next((bound for key, bound in found.items() if re.match(rf"{name}(?:_|\[).", key)), None)
    own = found.get(name)

    def test(text: str) -> bool:
        try:
            value = json.loads(text.splitlines()[at])
        except (ValueError, IndexError, RecursionError):
            return True
        if isinstance(value, (list, str)) and length is not None and not _in(len(value), length):
            return False
        if isinstance(value, list):
            return inner is None or all(_in(number, inner) for number in _numbers(value))
        return own is None or all(_in(number, own) for number in _numbers([value]))

    return test


def _numbers(values: Sequence[Any]) -> list[int]:
    """The whole numbers in lists, at any depth."""
    found: list[int] = []
    for value in values:
        if isinstance(value, list):
            found += _numbers(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            found.append(value)
    return found


def _in(value: int, bound: Bound) -> bool:
    return bound.low <= value <= bound.high
