"""What an input of a problem looks like, as far as examples and starter code show: pure, without a model."""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

from atlas.contracts import Problem

Arguments = list[Any]


def arguments(text: str) -> Arguments | None:
    """Return a function's arguments, one JSON value a line; None if the text is something else."""
    try:
        values = [json.loads(line) for line in text.splitlines()]
        json.dumps(values, allow_nan=False)  # NaN and Infinity are no JSON, though Python reads them
    except (ValueError, RecursionError):
        return None
    return values


def fits(problem: Problem, text: str) -> bool:
    """Whether a text has the form of the problem's inputs.

    A function's input is as many JSON values as its public examples', each of a type that some example shows
    in its place: whole numbers where only such are shown, lists of what the lists hold. Where there is no
    example, or for a `stdin` problem, any text that is not empty (and, for a function, is JSON) will do.
    """
    if problem.kind != "function":
        return bool(text.strip())
    given = arguments(text)
    if given is None:
        return False
    shown = [values for example in problem.examples if (values := arguments(example.input)) is not None]
    if not shown:
        return True
    return all(len(values) == len(given) for values in shown) and all(
        _like(value, [values[place] for values in shown]) for place, value in enumerate(given)
    )


def signature(problem: Problem) -> list[ast.arg] | None:
    """The parameters of the entry point in the starter code, `self` left out; None if it is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_completed(problem.starter_code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == problem.entry_point:
            named = [*node.args.posonlyargs, *node.args.args]
            return [a for place, a in enumerate(named) if place or a.arg not in ("self", "cls")]
    return None


def _completed(starter: str) -> str:
    """Starter code ends where the body would begin: give it one."""
    lines = starter.rstrip().splitlines()
    if not lines:
        return ""
    indent = len(lines[-1]) - len(lines[-1].lstrip())
    return "\n".join([*lines, " " * (indent + 4) + "pass"]) if lines[-1].endswith(":") else starter


def _like(value: Any, shown: list[Any]) -> bool:  # noqa: ANN401 - JSON is any
    """Whether a value is of the type of one of those shown, its elements of their elements' types."""
    alike = [each for each in shown if _kind(each) == _kind(value)]
    if not alike:
        return (
            isinstance(value, int) and not isinstance(value, bool) and any(_kind(s) == "float" for s in shown)
        )
    if isinstance(value, list):
        elements = [element for each in alike for element in each]
        return not elements or all(_like(element, elements) for element in value)
    if isinstance(value, dict):
        values = [inner for each in alike for inner in each.values()]
        return not values or all(_like(inner, values) for inner in value.values())
    return True


def _kind(value: Any) -> str:  # noqa: ANN401
    return type(value).__name__
