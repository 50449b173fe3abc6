"""HumanEval and HumanEval+: functions to complete, with tests as Python code (`conversion` makes rows of it).

Three forms are read: OpenAI's `HumanEval.jsonl.gz` and Hugging Face's copies (a `test` with a
`check(candidate)`), and EvalPlus's release (`base_input`, `plus_input`). A task's public tests are the calls
in its docstring, where the reference agrees with what they say.
"""

from __future__ import annotations

import ast
import doctest
import json

from benchmark.datasets.conversion import CodeTask, open_converted
from benchmark.datasets.lcb_jsonl import Row
from benchmark.datasets.native import Release, native_rows
from benchmark.datasets.source import Opened, Request, check_count

ROWS = 164
# EvalPlus's own grader accepts any root of the polynomial (evalplus/eval, `find_zero`); its release has no
# test code to tell that from.
MANY_ANSWERS = frozenset({"HumanEval/32"})


PLAIN = Release(
    "humaneval",
    "openai/openai_humaneval",
    "openai_humaneval/test-00000-of-00001.parquet",
    "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
)
PLUS = Release(
    "humaneval_plus", "evalplus/humanevalplus", "test.jsonl", "d32357cf319e50e9c8d8dab5ea876c72b0fd321b"
)


def open_humaneval(request: Request) -> Opened:
    """HumanEval, downloaded or from a copy of one's own. See `conversion` for what it raises."""
    return _open(PLAIN, request)


def open_humaneval_plus(request: Request) -> Opened:
    """HumanEval+, downloaded or from a copy of one's own. See `conversion` for what it raises."""
    return _open(PLUS, request)


def _open(release: Release, request: Request) -> Opened:
    path, commit = release.obtained(request)
    rows = native_rows(path)
    check_count(path, len(rows), ROWS)
    tasks = [_task(row) for row in rows]
    return open_converted(release.name, path, tasks, request.data_dir, commit)


def _task(row: Row) -> CodeTask:
    task_id, prompt, entry_point = row.text("task_id"), row.text("prompt"), row.text("entry_point")
    inputs: tuple[tuple[object, ...], ...] = ()
    checks: tuple[str, ...] = ()
    if "base_input" in row.fields:
        inputs = (*_inputs(row, "base_input"), *_inputs(row, "plus_input"))
    else:
        checks = (row.text("test"),)
    return CodeTask(
        id=task_id,
        platform="humaneval",
        title=entry_point,
        statement=f"Complete this function.\n\n{prompt}",
        starter=prompt,
        entry_point=entry_point,
        reference=prompt + row.text("canonical_solution"),
        checks=checks,
        called=("candidate",),
        inputs=inputs,
        public=tuple(_examples(row, prompt, entry_point).items()),
        many_answers=task_id in MANY_ANSWERS,
    )


def _inputs(row: Row, field: str) -> tuple[tuple[object, ...], ...]:
    value = row.fields.get(field)
    if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
        raise row.bad(field, "is not a list of argument lists")
    return tuple(tuple(each) for each in value)


def _examples(row: Row, prompt: str, entry_point: str) -> dict[str, str]:
    """The docstring's examples that are one call with literal arguments: input and output, both as JSON."""
    try:
        tree = ast.parse(prompt + "\n    pass")
        functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry_point]
        found = doctest.DocTestParser().get_examples(ast.get_docstring(functions[-1]) or "")
    except SyntaxError as e:
        raise row.bad("prompt", "is not the beginning of a Python function") from e
    except IndexError as e:
        raise row.bad("prompt", f"has no function {entry_point}") from e
    except ValueError:  # doctest is strict about indentation: then there are no examples to be had
        return {}
    pairs = (_example(each, entry_point) for each in found)
    return dict(pair for pair in pairs if pair is not None)


def _example(example: doctest.Example, entry_point: str) -> tuple[str, str] | None:
    try:
        call = ast.parse(example.source.strip(), mode="eval").body
        if not (
            isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == entry_point
        ):
            return None
        if call.keywords:
            return None
        arguments = [json.dumps(ast.literal_eval(argument)) for argument in call.args]
        return "\n".join(arguments), json.dumps(ast.literal_eval(example.want.strip()))
    except (SyntaxError, ValueError, TypeError):  # no literals, or JSON has no word for them
        return None
