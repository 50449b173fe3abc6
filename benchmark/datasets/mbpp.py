"""MBPP (its test split, or the sanitized part of it) and MBPP+: functions to write, from a sentence.

Google's `mbpp.jsonl` and `sanitized-mbpp.json` are read, Hugging Face's Parquet, and EvalPlus's MBPP+ in
Hugging Face's form (`code`, `test_list`, `test`). The test split of MBPP is tasks 11 to 510; the others are
for prompts and training, and not measured on. The first assert is the public test, and in the statement; the
model is not shown the others, unlike in the paper (Austin et al. 2021, section 3).
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass

from benchmark.datasets.conversion import CodeTask, open_converted
from benchmark.datasets.lcb_jsonl import Row
from benchmark.datasets.native import Release, native_rows
from benchmark.datasets.source import Opened, Request, check_count

TEST_SPLIT = range(11, 511)


@dataclass(frozen=True)
class Counted(Release):
    """One of the three, and how many rows its files have: the download, and Google's whole one."""

    rows: tuple[int, ...]


_GOOGLE = "google-research-datasets/mbpp"
_GOOGLE_REVISION = "4bb6404fdc6cacfda99d4ac4205087b89d32030c"
FULL = Counted("mbpp", _GOOGLE, "full/test-00000-of-00001.parquet", _GOOGLE_REVISION, (500, 974))
SANITIZED = Counted(
    "mbpp_sanitized", _GOOGLE, "sanitized/test-00000-of-00001.parquet", _GOOGLE_REVISION, (257, 427)
)
PLUS = Counted(
    "mbpp_plus",
    "evalplus/mbppplus",
    "data/test-00000-of-00001-d5781c9c51e02795.parquet",
    "b2d74c91837c3f2a20c1299ae98133cbe7cfa077",
    (378,),
)


def open_mbpp(request: Request) -> Opened:
    """MBPP's test split, downloaded or from a copy of one's own. See `conversion` for what is raised."""
    return _open(FULL, request)


def open_mbpp_sanitized(request: Request) -> Opened:
    """The sanitized tasks of MBPP's test split. See `conversion` for what is raised and left out."""
    return _open(SANITIZED, request)


def open_mbpp_plus(request: Request) -> Opened:
    """MBPP+, downloaded or from a copy of one's own. See `conversion` for what is raised and left out."""
    return _open(PLUS, request)


def _open(release: Counted, request: Request) -> Opened:
    path, commit = release.obtained(request)
    rows = native_rows(path)
    if len(rows) not in release.rows:
        check_count(path, len(rows), next((n for n in release.rows if n > len(rows)), release.rows[-1]))
    tasks = [_task(row) for row in rows if release is PLUS or _number(row) in TEST_SPLIT]
    return open_converted(release.name, path, tasks, request.data_dir, commit, len(rows))


def _number(row: Row) -> int:
    value = row.fields.get("task_id")
    text = str(value).removeprefix("Mbpp/")
    if isinstance(value, bool) or not text.isdecimal():
        raise row.bad("task_id", "is not a number")
    return int(text)


def _task(row: Row) -> CodeTask:
    code = row.text("code", "canonical_solution")
    asserts = _sources(row, "test_list") + _sources(row, "challenge_test_list")
    if not asserts:
        raise row.bad("test_list", "there are none, and every program would pass")
    imports = "\n".join((*_sources(row, "test_imports"), row.text("test_setup_code", optional=True)))
    try:
        defined = {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
        first = ast.parse(asserts[0])
    except SyntaxError as e:
        raise row.bad("test_list", "or the code is not Python") from e
    called = [n.func.id for n in ast.walk(first) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    entry_point = next((name for name in called if name in defined), None)
    if entry_point is None:
        raise row.bad("test_list", "calls no function of the code")
    example, public = _example(first, asserts[0], entry_point)
    extra = row.text("test", optional=True)
    return CodeTask(
        id=f"Mbpp/{_number(row)}",
        platform="mbpp",
        title=entry_point,
        statement=f"{row.text('prompt', 'text').strip()}\n\nWrite the function `{entry_point}`. {example}",
        starter=f"def {entry_point}({ast.unparse(defined[entry_point].args)}):\n    ",
        entry_point=entry_point,
        reference=code,
        checks=("\n".join((imports, *asserts)), *((extra,) if extra else ())),
        public=public,
    )


def _sources(row: Row, field: str) -> tuple[str, ...]:
    value = row.fields.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise row.bad(field, "is not a list of texts")
    return tuple(value)


def _example(tree: ast.Module, source: str, entry_point: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The first assert in words, and as a public test if it is `assert f(literals) == literal`."""
    match tree.body:
        case [
            ast.Assert(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) as call,
                    ops=[ast.Eq()],
                    comparators=[value],
                )
            )
        ] if name == entry_point:
            words = f"Example: {ast.unparse(call)} returns {ast.unparse(value)}."
            try:
                given = "\n".join(json.dumps(ast.literal_eval(argument)) for argument in arguments)
                return words, ((given, json.dumps(ast.literal_eval(value))),)
            except (ValueError, TypeError):  # no literals, or JSON has no word for them
                return words, ()
    return f"It must satisfy: {source.strip()}", ()
