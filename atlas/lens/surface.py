"""The `surface` set: what a journal tells of a candidate without hidden states. Pure.

What is not known yet is 0 beside an indicator that says so (`has_logprob`, `ran`, `compared`): a candidate
may be scored when it is drawn, when it has been run, or when its task's programs have been compared. Nothing
here is a label: the examples are the public ones, and agreement is among the programs themselves.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Literal

from pydantic import FiniteFloat, field_validator

from atlas.contracts import Candidate, Contract, Execution, Verdict
from atlas.extract import syntax_tree
from atlas.state import TaskState

LEAST_LOGPROB = -20.0  # of a single token; what is less says no more
LOOPS = (ast.For, ast.While, ast.comprehension)
BRANCHES = (ast.If, ast.IfExp, ast.Try)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
NESTING = (*LOOPS, *BRANCHES, *FUNCTIONS, ast.ClassDef, ast.With)
DRAWN = (
    "has_logprob",
    "logprob_mean",
    "logprob_minimum",
    "logprob_lowest_decile",
    "log_tokens",
    "has_code",
    "log_chars",
    "log_lines",
    "parses",
    "log_nodes",
    "log_functions",
    "log_loops",
    "log_branches",
    "log_calls",
    "nesting",
)
RUN = ("ran", "examples_passed", "examples_crashed")
COMPARED = ("compared", "log_inputs", "agreement")
SURFACE = (*DRAWN, *RUN, *COMPARED)
Stage = Literal["drawn", "run", "compared"]
STAGES: tuple[Stage, ...] = ("drawn", "run", "compared")


class Surface(Contract):
    """A candidate's surface features by name, `SURFACE` and no others; each is finite."""

    kind: Literal["surface"] = "surface"
    values: dict[str, FiniteFloat]

    @field_validator("values")
    @classmethod
    def _has_every_one(cls, values: dict[str, float]) -> dict[str, float]:
        if lacking := [name for name in SURFACE if name not in values]:
            raise ValueError(f"lacks {', '.join(lacking)}")
        if strange := sorted(values.keys() - set(SURFACE)):
            raise ValueError(f"there is no feature {', '.join(strange)}")
        return values


def surface_of(state: TaskState, candidate: Candidate, stage: Stage = "compared") -> Surface:
    """Return a candidate's features as the state knows them, or as it knew them at an earlier stage."""
    values = {**_logprobs(candidate), **_text(candidate.code)}
    values |= dict.fromkeys(RUN, 0.0) if stage == "drawn" else _run(state, candidate)
    values |= _compared(state, candidate) if stage == "compared" else dict.fromkeys(COMPARED, 0.0)
    return Surface(values=values)


def _logprobs(candidate: Candidate) -> dict[str, float]:
    known = candidate.logprob
    return {
        "has_logprob": float(known is not None),
        "logprob_mean": max(known.mean, LEAST_LOGPROB) if known else 0.0,
        "logprob_minimum": max(known.minimum, LEAST_LOGPROB) if known else 0.0,
        "logprob_lowest_decile": max(known.lowest_decile, LEAST_LOGPROB) if known else 0.0,
        "log_tokens": math.log1p(candidate.usage.tokens_out),
    }


def _text(code: str | None) -> dict[str, float]:
    """Length, and counts of what the syntax tree holds (as log(1 + n)); `nesting` is its depth in blocks."""
    tree = syntax_tree(code or "") if code else None
    nodes = list(ast.walk(tree)) if tree else []

    def count(kinds: tuple[type[ast.AST], ...]) -> float:
        return math.log1p(sum(isinstance(node, kinds) for node in nodes))

    return {
        "has_code": float(bool(code)),
        "log_chars": math.log1p(len(code or "")),
        "log_lines": math.log1p((code or "").count("\n") + 1),
        "parses": float(tree is not None),
        "log_nodes": math.log1p(len(nodes)),
        "log_functions": count(FUNCTIONS),
        "log_loops": count(LOOPS),
        "log_branches": count(BRANCHES),
        "log_calls": count((ast.Call,)),
        "nesting": float(_depth(tree)) if tree else 0.0,
    }


def _depth(tree: ast.AST) -> int:
    deepest, waiting = 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + isinstance(child, NESTING)) for child in ast.iter_child_nodes(node)]
    return deepest


def _run(state: TaskState, candidate: Candidate) -> dict[str, float]:
    execution = state.executions.get(candidate.id)
    tests = execution.total if execution and execution.results else 0
    return {
        "ran": float(tests > 0),
        "examples_passed": execution.passed / tests if execution and tests else 0.0,
        "examples_crashed": _crashed(execution) / tests if execution and tests else 0.0,
    }


def _compared(state: TaskState, candidate: Candidate) -> dict[str, float]:
    clustered = state.clustered
    compared = clustered is not None and clustered.inputs > 0
    size = next((len(c) for c in _clusters(state) if candidate.id in c), 0) if compared else 0
    return {
        "compared": float(size > 0),
        "log_inputs": math.log1p(clustered.inputs) if clustered and size else 0.0,
        "agreement": size / sum(map(len, _clusters(state))) if size else 0.0,
    }


def _crashed(execution: Execution) -> int:
    fine = (Verdict.ACCEPTED, Verdict.WRONG_ANSWER)
    return sum(result.verdict not in fine for result in execution.results)


def _clusters(state: TaskState) -> Iterator[tuple[str, ...]]:
    return (cluster.candidates for cluster in state.clustered.clusters) if state.clustered else iter(())
