"""Public examples that a statement shows and nobody listed.

Read by syntax alone, so that every value stands in the statement as it is; no model guesses one. Of a
`function` problem these are calls of the entry point with their results:

    f([1, 2], 3) == 4        also =, ->, =>, ==>, ➞, →, returns, should return, should be, gives
    >>> f([1, 2], 3)         its result on the next line
    Input: a = [1, 2], b = 3
    Output: 4

What is no literal, or is followed by more than a remark, is no example; nor is a call that is given two
results. Of a `stdin` problem they are what stands between the headings `Sample Input 1` and `Sample Output 1`
(`Example Input`, without numbers, with colons) and from there to the next empty line.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from atlas.contracts import Example, Problem
from atlas.input_shape import signature

T = TypeVar("T")

# As many as a problem may list.
MOST_EXAMPLES = 50
# Longer calls and results are data rather than examples to read. A statement may hold 100,000 calls and
# brackets: not every one is looked at, or tried as an end.
LONGEST = 2_000
MOST_ENDS = 32
MOST_CALLS = 100

_SEPARATOR = re.compile(
    r"[ \t]*(?:#[ \t]*)?(?:={1,2}>?|-+>|[➞→⇒]|(?:should[ \t]+)?returns?\b|should[ \t]+be\b|gives\b)[ \t]*"
)
_INPUT = re.compile(r"^[ \t]*Input:?[ \t]*(\S.*)\n\s*Output:?[ \t]*", re.MULTILINE | re.IGNORECASE)
_PLAIN = re.compile(r"(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|True|False|None)(?!\.?\w)")
# What may follow a result on its line: the end of a sentence, a comment, a remark in brackets.
_REMARK = re.compile(r"[.,;]?[ \t]*(?:#.*|//.*|\(.*)?\r?")
# A heading may follow the last sentence of a paragraph without a line break of its own. After two empty lines
# comes a remark on an empty output.
_SAMPLE = re.compile(
    r"(?:^[ \t#*]*|(?<=\S))(?:Sample|Example)[ \t]+Input[ \t]*#?(?P<number>\d*)[ \t]*:?[ \t*]*\n"
    r"(?P<input>(?:(?!.*(?:Sample|Example)[ \t]+(?:In|Out)put).*\n)*)"
    r"[ \t#*]*(?:Sample|Example)[ \t]+Output[ \t]*#?(?P=number)[ \t]*:?[ \t*]*\n"
    r"(?:[ \t]*\n)?"
    r"(?P<output>(?:(?![ \t]*(?:#+ |\**(?:Note|Explanation|Sample|Example)\b))[ \t]*\S.*(?:\n|\Z))+)",
    re.MULTILINE | re.IGNORECASE,
)
_ENDS = {"(": ")", "[": "]", "{": "}", "'": "'", '"': '"'}


@lru_cache(maxsize=64)
def statement_examples(problem: Problem) -> tuple[Example, ...]:
    """Return the examples that a problem's statement shows, in its order; () if none."""
    found: dict[str, set[str]] = {}
    for given, result in _shown(problem):
        found.setdefault(given, set()).add(result)
    sure = [(given, *results) for given, results in found.items() if len(results) == 1]
    return tuple(Example(input=given, output=result) for given, result in sure[:MOST_EXAMPLES])


def _shown(problem: Problem) -> Iterator[tuple[str, str]]:
    if problem.kind == "stdin":
        yield from _samples(problem.statement.replace("\r\n", "\n"))
    elif problem.kind == "function":
        yield from _calls(problem)
        yield from _labelled(problem)


def _samples(statement: str) -> Iterator[tuple[str, str]]:
    for match in islice(_SAMPLE.finditer(statement), MOST_EXAMPLES):
        lines = [line.strip() for line in match["input"].strip().split("\n")]
        if not all(lines) and not any(lines[1::2]):
            lines = lines[::2]  # an empty line after each is how the text was laid out
        if lines[0] and all(lines):
            output = [line.strip() for line in match["output"].strip().split("\n")]
            yield "\n".join(lines) + "\n", "\n".join(output) + "\n"


def _calls(problem: Problem) -> Iterator[tuple[str, str]]:
    statement, name = problem.statement, re.escape(str(problem.entry_point))
    calls = re.finditer(rf"(?:\bSolution\(\)\.|(?<![\w.])){name}\(", statement)
    for match in islice(calls, MOST_CALLS):
        call = _shortest(statement, match.end() - 1, ")", _call)
        if call is None:
            continue
        text, tree = call
        given = _given(tree, problem)
        result = _result(statement, _after(statement, match.start(), match.end() - 1 + len(text)))
        if given is not None and result is not None:
            yield given, result


def _labelled(problem: Problem) -> Iterator[tuple[str, str]]:
    for match in islice(_INPUT.finditer(problem.statement), MOST_CALLS):
        tree = _call(f"({match[1].strip()})")
        given = _given(tree, problem) if tree is not None else None
        result = _result(problem.statement, match.end())
        if given is not None and result is not None:
            yield given, result


def _after(statement: str, start: int, end: int) -> int | None:
    """Where the result of the call from `start` to `end` begins: for a doctest, on the next line."""
    if separator := _SEPARATOR.match(statement, end):
        return separator.end()
    line_start, line_end = statement.rfind("\n", 0, start) + 1, statement.find("\n", end)
    prompted = statement[line_start:start].strip() == ">>>" and not statement[end:line_end].strip()
    return line_end + 1 if prompted and line_end >= 0 else None


def _result(statement: str, start: int | None) -> str | None:
    """Return the literal that begins at `start` as JSON, if it is one and nothing but a remark follows."""
    if start is None:
        return None
    while statement[start : start + 1] in (" ", "\t"):
        start += 1
    first = statement[start : start + 1]
    found: tuple[str, str] | None = None
    if first in _ENDS:
        found = _shortest(statement, start, _ENDS[first], _json_of)
    elif plain := _PLAIN.match(statement, start):
        value = _json_of(plain[0])
        found = (plain[0], value) if value is not None else None
    if found is None:
        return None
    rest = statement[start + len(found[0]) :].split("\n", 1)[0]
    return found[1] if _REMARK.fullmatch(rest.lstrip(" \t")) else None


def _shortest(text: str, start: int, closing: str, read: Callable[[str], T | None]) -> tuple[str, T] | None:
    """Return the shortest piece from `start` to a `closing` that can be read, and what it reads as."""
    window = text[start : start + LONGEST]
    ends = (match.end() for match in re.finditer(re.escape(closing), window) if match.start())
    for end in islice(ends, MOST_ENDS):
        if (value := read(window[:end])) is not None:
            return window[:end], value
    return None


def _given(call: ast.Call, problem: Problem) -> str | None:
    """Return a call's arguments as an example's input, in the signature's order, if they are literals."""
    named = {str(keyword.arg): keyword.value for keyword in call.keywords}
    names = [parameter.arg for parameter in signature(problem) or ()]
    ordered = [named[name] for name in names if name in named] if set(named) <= set(names) else named.values()
    values = [_json_of(each) for each in (*call.args, *ordered)]
    return "\n".join(v for v in values if v is not None) if values and None not in values else None


def _call(brackets: str) -> ast.Call | None:
    tree = _quietly(lambda: ast.parse(f"f{brackets}", mode="eval").body)
    return tree if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) else None


def _json_of(literal: str | ast.expr) -> str | None:
    """Return a literal as JSON, tuples as lists; None if it is none, or JSON has no such value."""

    def written() -> str | None:
        value = ast.literal_eval(literal)
        return json.dumps(value, allow_nan=False) if _is_json(value) else None

    return _quietly(written)


def _quietly(read: Callable[[], T]) -> T | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of texts that are nearly Python
            return read()
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_json, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (bool, int, float, str))
