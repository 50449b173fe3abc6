"""Whether Python test code accepts one answer only, told from its syntax.

The checkers compare with one expected value (`strict` with a tolerance for numbers). Test code that compares
sets, sorts first, or computes with the answer accepts others too: graded so, right programs would fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

MANY_ANSWERS = "its tests accept more than one answer, and the checkers compare with one"

# Calls around an answer that leave it as it is, for a comparison of JSON, or allow a tolerance.
_KEEP = frozenset({"list", "tuple", "str", "abs", "fabs", "round", "isclose", "allclose", "assertion"})

_UNORDERED = frozenset({"set", "frozenset", "sorted", "Counter"})


def accepts_one(checks: Iterable[str], names: Iterable[str]) -> bool:
    """True if every answer in `checks` is compared for equality or within a tolerance, or is a truth value.

    Args:
        checks: sources of test code; the tests are asserts, or calls of a helper called `assertion`.
        names: what the solution is called there.

    Raises:
        SyntaxError: a source is not Python.
    """
    called = frozenset(names)
    return all(_accepts_one(ast.parse(source), called) for source in checks)


def _accepts_one(tree: ast.Module, names: frozenset[str]) -> bool:
    helpers = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "assertion"]
    if any(isinstance(n, ast.Name) and n.id in _UNORDERED for helper in helpers for n in ast.walk(helper)):
        return False
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    answers = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _name(n.func) in names]
    return all(_compared_plainly(answer, parents) for answer in answers)


def _compared_plainly(answer: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    node, tolerance = answer, False
    while not isinstance(node, ast.Assert):
        parent = parents[node]
        if not _keeps(node, parent, tolerance):
            return False
        if isinstance(parent, ast.Call):
            name = _name(parent.func)
            if name == "assertion":
                return True
            tolerance = tolerance or name in ("abs", "fabs")
        node = parent
    return True


def _keeps(node: ast.AST, parent: ast.AST, tolerance: bool) -> bool:
    """Whether one answer alone passes `parent` if it does `node`, up to a tolerance."""
    if isinstance(parent, ast.Assert):
        return node is parent.test
    if isinstance(parent, ast.Call):
        return _name(parent.func) in _KEEP and node in parent.args
    if isinstance(parent, ast.Compare):
        wanted = (ast.Lt, ast.LtE) if tolerance else (ast.Eq, ast.Is)
        return all(isinstance(op, wanted) for op in parent.ops)
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Sub)
    return isinstance(parent, ast.UnaryOp) or (
        isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And)
    )


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""
