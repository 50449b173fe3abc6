"""Reads programs whose verdict is known, and the tasks they are for, to measure a judge against them.

A solution row is {question_id, code, verdict: pass | fail} and may say how it fails: `kind`, or
LiveCodeBench's error code (-2 wrong answer, -3 time limit, -4 runtime error). Where a row has been graded
again (`regrade_official_full`), that verdict counts, not the published one.

Tasks come from files that `benchmark.datasets.lcb_jsonl` reads; here a task without hidden tests is no error
but no task, since such a file may hold statements alone. Messages and reasons never quote a test.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from atlas.contracts import Example
from atlas.errors import BadInput
from benchmark.datasets.lcb_jsonl import Row, read_rows, task
from benchmark.tasks import HiddenTests, Task

Kind = Literal["wrong_answer", "time_limit", "runtime_error"]
KINDS: dict[object, Kind] = {
    -2: "wrong_answer",
    -3: "time_limit",
    -4: "runtime_error",
    "wrong_answer": "wrong_answer",
    "time_limit": "time_limit",
    "runtime_error": "runtime_error",
}
"""How a program fails, by LiveCodeBench's error code and by name."""

NO_TASK = "its task is in none of the files"
NO_TESTS = "its task has no hidden tests"
NOT_EXACT = "its task needs more than an exact comparison (exact_match_validated is false)"
TEST_LEFT_OUT = "it fails only on a large test of its task, and not all of them are in the files"


@dataclass(frozen=True)
class Solution:
    """A program and what is known of it. `row` counts the file's lines from 1.

    `kind` is how it fails, None if it passes or the row does not say. `on_large_test`: only a large test,
    kept apart from the task's others, shows the failure; which of them, no row says.
    """

    row: int
    question_id: str
    code: str
    passes: bool
    kind: Kind | None = None
    on_large_test: bool = False

    @property
    def name(self) -> str:
        """Tells it from every other row of its file."""
        return f"{self.row}:{self.question_id}"


@dataclass(frozen=True)
class Tasks:
    """Tasks by id, and why those that solutions ask for in vain are not among them.

    `left_out` counts, by task, the official tests that are in none of the files.
    """

    by_id: dict[str, Task]
    missing: dict[str, str]
    left_out: dict[str, int]

    def why_not(self, solution: Solution) -> str:
        """Why this solution cannot be judged; "" if it can."""
        if solution.question_id not in self.by_id:
            return self.missing.get(solution.question_id, NO_TASK)
        if solution.on_large_test and self.left_out.get(solution.question_id, 0):
            return TEST_LEFT_OUT
        return ""


def solutions(path: Path) -> list[Solution]:
    """The file's programs, in order.

    Raises:
        BadInput: the file cannot be read or is empty, or a row is malformed.
    """
    found = [_solution(row) for row in _rows(path)]
    if not found:
        raise BadInput(f"{path}: holds no rows")
    return found


def tasks(paths: Iterable[Path], wanted: Iterable[str], large: Path | None = None) -> Tasks:
    """The wanted tasks of these files; hidden tests of the file `large` come after a task's own.

    Raises:
        BadInput: a file cannot be read, a wanted row is malformed, or an id is in two files.
    """
    names, seen = set(wanted), dict[str, Path]()
    by_id, missing, left_out = dict[str, Task](), dict[str, str](), dict[str, int]()
    for path in paths:
        for row in read_rows(path):
            name = row.text("question_id")
            if name in seen:
                raise row.bad("question_id", f"is also in {seen[name]}")
            seen[name] = path
            if name not in names:
                continue
            reason = _not_judged(row)
            if reason:
                missing[name] = reason
            else:
                by_id[name], left_out[name] = task(row), _dropped(row)
    more = _large_tests(large) if large is not None else {}
    for name in more.keys() & by_id.keys():
        old = by_id[name]
        by_id[name] = replace(old, hidden=HiddenTests((*old.hidden.tests, *more[name])))
        left_out[name] = max(0, left_out[name] - len(more[name]))
    return Tasks(by_id, missing, {name: count for name, count in left_out.items() if count})


def _not_judged(row: Row) -> str:
    metadata = row.fields.get("metadata")
    if isinstance(metadata, dict) and metadata.get("exact_match_validated") is False:
        return NOT_EXACT
    return NO_TESTS if row.fields.get("private_tests") == [] else ""


def _dropped(row: Row) -> int:
    """How many official tests the packager of the row left out for their size."""
    metadata = row.fields.get("metadata")
    count = metadata.get("n_private_dropped_over_cap", 0) if isinstance(metadata, dict) else 0
    return count if isinstance(count, int) else 0


def _solution(row: Row) -> Solution:
    code = row.fields.get("code")
    if not isinstance(code, str):
        raise row.bad("code", "is missing" if code is None else "is not a string")
    again = row.fields.get("regrade_official_full") is not None
    verdict_field = "regrade_official_full" if again else "verdict"
    verdict = row.fields.get(verdict_field)
    if verdict not in ("pass", "fail"):
        raise row.bad(verdict_field, "is neither pass nor fail")
    said = row.fields.get("regrade_error_code") if again else row.fields.get("error_code")
    kind = row.fields.get("kind") if said is None else said
    return Solution(
        row=row.number,
        question_id=row.text("question_id"),
        code=code,
        passes=verdict == "pass",
        kind=KINDS.get(kind) if verdict == "fail" and isinstance(kind, (int, str)) else None,
        on_large_test=row.fields.get("fails_on_shipped_tests") is False,
    )


def _large_tests(path: Path) -> dict[str, tuple[Example, ...]]:
    """Tests by task, from rows {question_id, tests}."""
    found: dict[str, tuple[Example, ...]] = {}
    for row in read_rows(path):
        tests = row.fields.get("tests")
        if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
            raise row.bad("tests", "is not a list of JSON objects")
        for test in tests:
            if not isinstance(test.get("input"), str) or not isinstance(test.get("output"), str):
                raise row.bad("tests", "a test needs the strings input and output")
        found[row.text("question_id")] = tuple(Example(input=t["input"], output=t["output"]) for t in tests)
    return found


def _rows(path: Path) -> Iterator[Row]:
    """Parsed lines; unlike a task's, a solution's question_id may repeat."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                fields = json.loads(line)
                if not isinstance(fields, dict):
                    raise BadInput(f"{path}: row {number}: is not a JSON object")
                yield Row(path, number, fields)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as e:
        raise BadInput(f"{path}: cannot be read: {type(e).__name__}: {e}") from e
