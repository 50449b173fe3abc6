"""Reading tasks: the two forms of a row, and an error for anything else."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gzip
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from atlas.contracts import Example, Problem
from atlas.errors import BadInput
from benchmark.datasets import load
from benchmark.datasets.lcb_jsonl import read_rows, task
from benchmark.tasks import HiddenTests
from tests.support.shared_data import SHARED

SECRET = "4242424242"


def stdin_row(**changes: Any) -> dict[str, Any]:
    row = {
        "question_id": "q1",
        "platform": "atcoder",
        "title": "Double",
        "question_content": "Print twice the number.",
        "starter_code": "",
        "difficulty": "easy",
        "contest_date": "2024-01-20T00:00:00",
        "public_tests": [{"input": "1\n", "output": "2\n", "testtype": "stdin"}],
        "private_tests": [{"input": "2121212121\n", "output": SECRET, "testtype": "stdin"}],
        "metadata": {},
    }
    return {k: v for k, v in (row | changes).items() if v is not ...}


def functional_row(**changes: Any) -> dict[str, Any]:
    return stdin_row(
        platform="leetcode",
        starter_code="class Solution:\n    def double(self, n: int) -> int:\n        ",
        public_tests=[{"input": "1\n[2]", "output": "2", "testtype": "functional"}],
        private_tests=[{"input": "2\n[3]", "output": "4", "testtype": "functional"}],
        metadata={"func_name": "double"},
        **changes,
    )


def official_row(private: str, **changes: Any) -> dict[str, Any]:
    row = stdin_row(title=..., public_tests=..., private_tests=..., metadata="{}", question_title="Double")
    tests = json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}])
    return row | {"public_test_cases": tests, "private_test_cases": private} | changes


def packed(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


HIDDEN_JSON = json.dumps([{"input": "2121212121\n", "output": SECRET, "testtype": "stdin"}])


def write(path: Path, *rows: object) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    return [task(row) for row in read_rows(path)]


# ---------------------------------------------------------------- good rows


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_stdin_row(tmp_path: Path, name: str) -> None:
    (got,) = load(write(tmp_path / name, stdin_row()))
    assert (got.id, got.title, got.platform, got.difficulty) == ("q1", "Double", "atcoder", "easy")
    assert got.date is not None
    assert got.date.isoformat() == "2024-01-20"
    assert got.problem.kind == "stdin"
    assert got.problem.entry_point is None
    assert got.problem.examples == (Example(input="1\n", output="2\n"),)
    assert (got.problem.limits.time_s, got.problem.limits.memory_mb) == (6.0, 1024)
    assert got.grading_tests == (*got.problem.examples, *got.hidden.tests)


def test_functional_row(tmp_path: Path) -> None:
    (got,) = load(write(tmp_path / "t.jsonl", functional_row(contest_date=None)))
    assert (got.problem.kind, got.problem.entry_point) == ("function", "double")
    assert got.problem.starter_code.startswith("class Solution")
    assert got.problem.limits.memory_mb == 512
    assert got.date is None


def test_a_row_may_set_its_limits(tmp_path: Path) -> None:
    (got,) = load(write(tmp_path / "t.jsonl", stdin_row(metadata={"time_s": 2, "memory_mb": 256})))
    assert (got.problem.limits.time_s, got.problem.limits.memory_mb) == (2.0, 256)


@pytest.mark.parametrize("private", [HIDDEN_JSON, packed(HIDDEN_JSON)], ids=["json", "packed"])
def test_livecodebenchs_own_form(tmp_path: Path, private: str) -> None:
    (got,) = load(write(tmp_path / "t.jsonl", official_row(private)))
    assert got.title == "Double"
    assert [t.output for t in got.grading_tests] == ["2\n", SECRET]


def test_numbers_of_more_than_4300_digits_are_json(tmp_path: Path) -> None:
    big = {"input": "1\n[1]", "output": "9" * 5000, "testtype": "functional"}
    row = functional_row() | {"private_tests": [big]}
    assert len(load(write(tmp_path / "t.jsonl", row))[0].hidden.tests[0].output) == 5000


@pytest.mark.parametrize("tags", ["## Categories\n\n- dp\n\n", ""])
def test_a_packagers_appendix_that_prints_private_tests_is_cut(tmp_path: Path, tags: str) -> None:
    appendix = (
        f"{tags}## Source\n\nCodeforces\n\n## Examples\n\n### Example 1\n\n**Input**:\n```\n2121212121\n```\n"
        f"\n**Output**:\n```\n{SECRET}\n```\n\n\n## Testing\n\nRun it\n"
    )
    row = stdin_row(question_content=f"Print it.\n\nExamples\n\nInput\n\n1\n\n{appendix}")
    (got,) = load(write(tmp_path / "t.jsonl", row))
    assert got.problem.statement.strip() == "Print it.\n\nExamples\n\nInput\n\n1"


# ---------------------------------------------------------------- bad data: file, row and field are named


NO_TESTS: list[object] = []
BAD_ROWS = {
    "no id": (stdin_row(question_id=...), "question_id"),
    "number as id": (stdin_row(question_id=7), "question_id"),
    "no statement": (stdin_row(question_content=...), "question_content"),
    "blank statement": (stdin_row(question_content=" \n"), "question_content"),
    "long statement": (stdin_row(question_content="x" * 64_001), "statement"),
    "no private tests": (stdin_row(private_tests=...), "private_tests"),
    "zero private tests": (stdin_row(private_tests=[]), "private_tests"),
    "private tests null": (stdin_row(private_tests=None), "private_tests"),
    "no public field": (stdin_row(public_tests=...), "public_tests"),
    "both forms": (stdin_row(private_test_cases=HIDDEN_JSON), "private_tests"),
    "test no object": (stdin_row(private_tests=["x"]), r"private_tests\[0\]"),
    "output missing": (stdin_row(private_tests=[{"input": "", "testtype": "stdin"}]), r"\[0\]\.output"),
    "output a number": (
        stdin_row(private_tests=[{"input": "", "output": 3, "testtype": "stdin"}]),
        r"\[0\]\.output",
    ),
    "half a surrogate": (
        stdin_row(private_tests=[{"input": "\ud800", "output": SECRET, "testtype": "stdin"}]),
        r"private_tests\[0\]",
    ),
    "testtype": (stdin_row(private_tests=[{"input": "", "output": "", "testtype": "x"}]), "testtype"),
    "testtype a list": (stdin_row(private_tests=[{"input": "", "output": "", "testtype": []}]), "testtype"),
    "mixed": (
        stdin_row(
            private_tests=[{"input": "1", "output": "1", "testtype": t} for t in ("stdin", "functional")]
        ),
        "mixes",
    ),
    "public of another type": (
        functional_row() | {"public_tests": [{"input": "1", "output": "1", "testtype": "stdin"}]},
        "public_tests",
    ),
    "no func_name": (functional_row() | {"metadata": {}}, "func_name"),
    "bad func_name": (functional_row() | {"metadata": {"func_name": "a b"}}, "entry_point"),
    "input no JSON": (
        functional_row()
        | {"private_tests": [{"input": "[1\n2", "output": SECRET, "testtype": "functional"}]},
        r"private_tests\[0\]\.input",
    ),
    "metadata a list": (stdin_row(metadata=[]), "metadata"),
    "metadata no JSON": (stdin_row(metadata="{"), "metadata"),
    "bad limit": (stdin_row(metadata={"memory_mb": 1}), "memory_mb"),
    "bad date": (stdin_row(contest_date="yesterday"), "contest_date"),
    "packed nothing": (official_row(packed("")), "private_test_cases"),
    "packed no tests": (official_row(packed("[]")), "private_tests"),
    "empty payload": (official_row(""), "private_test_cases"),
    "not base64": (official_row("%%%"), "private_test_cases"),
    "not zlib": (official_row(base64.b64encode(b"hello").decode()), "private_test_cases"),
    "cut off": (
        official_row(base64.b64encode(zlib.compress(pickle.dumps(HIDDEN_JSON))[:-9]).decode()),
        "cut off",
    ),
    "not a pickle": (official_row(base64.b64encode(zlib.compress(b"hello")).decode()), "pickled"),
    "pickled list": (official_row(packed(["x"])), "one string"),
    "pickled code": (official_row(packed(os.getcwd)), "pickled"),
    "two pickles": (
        official_row(base64.b64encode(zlib.compress(pickle.dumps("a") + pickle.dumps("b"))).decode()),
        "one string",
    ),
}


@pytest.mark.parametrize(("row", "field"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_malformed_rows_name_file_row_and_field(tmp_path: Path, row: dict[str, Any], field: str) -> None:
    path = write(tmp_path / "t.jsonl", stdin_row(question_id="fine"), row)
    with pytest.raises(BadInput, match=field) as caught:
        load(path)
    assert f"{path}: row 2" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(BadInput, match="pickled"):
        load(write(tmp_path / "t.jsonl", official_row(packed(Evil()))))
    assert not (tmp_path / "ran").exists()


def test_duplicate_ids(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"row 2 \(q1\): question_id: repeats that of row 1"):
        load(write(tmp_path / "t.jsonl", stdin_row(), stdin_row()), limit=1)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="no rows"):
        load(write(tmp_path / "t.jsonl", text))


@pytest.mark.parametrize("line", ['{"question_id": "q2", "ti', "[]", "7", "[" * 100_000])
def test_lines_that_are_no_object(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadInput, match="row 2: is not"):
        load(write(tmp_path / "t.jsonl", stdin_row(), line))


def test_damaged_files(tmp_path: Path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(write(tmp_path / "t.jsonl.gz", stdin_row()).read_bytes()[:-12])
    plain = tmp_path / "plain.jsonl.gz"
    plain.write_text("{}")
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\xff")
    for path in (cut, plain, binary):
        with pytest.raises(BadInput, match=path.name):
            load(path)


# ---------------------------------------------------------------- choosing


def test_limit_and_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", *(stdin_row(question_id=f"q{i:02}") for i in range(30)))
    ids = [t.id for t in load(path)]
    assert [t.id for t in load(path, limit=3)] == ids[:3]
    five, ten = ({t.id for t in load(path, limit=n, seed=1)} for n in (5, 10))
    assert five < ten
    assert five != {t.id for t in load(path, limit=5, seed=2)}
    drawn = [t.id for t in load(path, limit=10, seed=1)]
    assert drawn == sorted(drawn)
    assert len(load(path, limit=99)) == 30
    with pytest.raises(BadInput, match="limit"):
        load(path, limit=0)


def test_unknown_names_list_what_there_is(tmp_path: Path) -> None:
    write(tmp_path / "mine.jsonl", stdin_row())
    with pytest.raises(BadInput, match="bundled"):
        load("humanevil")
    with pytest.raises(BadInput, match=r"mine\.jsonl"):
        load(tmp_path / "yours.jsonl")
    with pytest.raises(BadInput, match=r"mine\.jsonl"):
        load(tmp_path)


# ---------------------------------------------------------------- hidden tests stay where they are


def test_hidden_tests_have_no_way_out(tmp_path: Path) -> None:
    (got,) = load(write(tmp_path / "t.jsonl", stdin_row()))
    assert SECRET not in repr(got)
    assert SECRET not in str(got.hidden)
    for escape in (pickle.dumps, copy.deepcopy, dataclasses.asdict):
        with pytest.raises(TypeError, match="never leave"):
            escape(got)
    with pytest.raises(TypeError):
        json.dumps(got.hidden)
    with pytest.raises((PydanticSerializationError, TypeError)):
        TypeAdapter(object).dump_json(got.hidden)
    with pytest.raises(ValidationError):
        Problem(statement="x", examples=got.hidden)
    with pytest.raises(ValidationError):
        Problem(statement="x", hidden=got.hidden)
    with pytest.raises(AttributeError):
        got.hidden.tests = ()
    assert SECRET not in got.problem.model_dump_json()


def test_hidden_tests_are_never_none_at_all() -> None:
    with pytest.raises(ValueError, match="at least one"):
        HiddenTests(())


# ---------------------------------------------------------------- the data itself


@pytest.mark.parametrize(
    ("name", "rows"),
    [("lcb_official", 91), ("humaneval_plus", 83), ("mbpp_plus", 179), ("codecontests_cf", 143)],
)
def test_shared_data_loads_as_it_is(name: str, rows: int) -> None:
    path = SHARED / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {SHARED}: set SHARED_DATA to where the data is")
    tasks = load(path)
    assert len(tasks) == rows
    for got in tasks:
        assert got.hidden
        assert "### Example 1" not in got.problem.statement
