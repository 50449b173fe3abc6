"""HumanEval and MBPP in their native forms: what becomes a task, what is left out by name, and why."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow
import pyarrow.parquet
import pytest

from atlas.errors import BadInput
from benchmark.datasets import conversion, hub, humaneval, mbpp
from benchmark.datasets.answers import accepts_one
from benchmark.datasets.conversion import CodeTask
from benchmark.datasets.native import native_rows
from benchmark.datasets.selection import Loaded, from_mapping, load
from tests.support.shared_data import SHARED

Row = dict[str, Any]


def complete(number: int, name: str, docstring: str, body: str, test: str, arguments: str = "x") -> Row:
    """A row of HumanEval's form."""
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": f'import math\n\n\ndef {name}({arguments}):\n    """{docstring}"""\n',
        "canonical_solution": body,
        "entry_point": name,
        "test": test,
    }


def check(*lines: str) -> str:
    return "METADATA = {}\n\n\ndef check(candidate):\n" + "".join(f"    {line}\n" for line in lines)


PLUS_TEST = """
def is_floats(x):
    return isinstance(x, float)

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert abs(out - exp) <= atol
    else:
        assert exact_match

def check(candidate):
    inputs = [[[3, 1, 2]], [[4, 2, 9, 1]], [[5]]]
    results = [2, 3.0, 5]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)

check(median)
"""

MEDIAN_DOC = "Median.\n    >>> median([3, 1, 2])\n    2\n    >>> median([1, 2, 3, 8])\n    15.0\n    "
MEDIAN = (
    "    x = sorted(x)\n    n = len(x)\n    return x[n // 2] if n % 2 else (x[n // 2 - 1] + x[n // 2]) / 2\n"
)
HUMANEVAL = [
    complete(
        0,
        "twice",
        "Twice.\n    >>> twice(2)\n    4\n    ",
        "    return 2 * x\n",
        check("assert candidate(2) == 4", "for i in range(3):", "    assert candidate(i) == i + i"),
    ),
    complete(1, "half", "Half.", "    return x / 2\n", check("assert abs(candidate(3) - 1.5) < 1e-6")),
    complete(
        2, "count", "Recursive.", "    return x and 1 + count(x - 1)\n", check("assert candidate(3) == 3")
    ),
    complete(
        32, "root", "A root.", "    return x\n", check("y = candidate(4.0)", "assert abs(y - 4) < 1e-4")
    ),
    complete(3, "letters", "A set.", "    return set(x)\n", check("assert candidate('aa') == {'a'}")),
    complete(4, "size", "Of a set.", "    return len(x)\n", check("assert candidate({1, 2}) == 2")),
    complete(5, "wrong", "Not.", "    return x\n", check("assert candidate(1) == 2")),
    complete(6, "pairs", "Keys.", "    return {x: 1}.get(x)\n", check("assert candidate((1, 2)) == 1")),
    complete(47, "median", MEDIAN_DOC, MEDIAN, PLUS_TEST),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data sets are as small as the files below."""
    monkeypatch.setattr(humaneval, "ROWS", len(HUMANEVAL))


def write(path: Path, rows: list[Row]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def chosen(dataset: str, data_dir: Path, **fields: object) -> Loaded:
    return load(from_mapping({"dataset": dataset, **fields}), data_dir)


# ---------------------------------------------------------------- HumanEval


@pytest.mark.integration
def test_humaneval_becomes_tasks_and_names_what_it_leaves_out(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "HumanEval.jsonl.gz", HUMANEVAL)
    loaded = chosen(f"humaneval={path}", tmp_path / "data")
    twice, half, count, median = loaded.tasks
    assert "reference programs of 9 tasks" in capsys.readouterr().err
    assert loaded.excluded == {
        "HumanEval/32": "its tests accept more than one answer, and the checkers compare with one",
        "HumanEval/3": "it returns a value that JSON has no word for",
        "HumanEval/4": "an argument is a set",
        "HumanEval/5": "its reference fails its own tests: AssertionError",
        "HumanEval/6": "its reference ends in runtime_error",
    }
    (source,) = loaded.sources
    assert (source.dataset, source.file, source.rows) == ("humaneval", "HumanEval.jsonl.gz", 9)

    assert (twice.id, twice.problem.entry_point, twice.problem.kind) == ("HumanEval/0", "twice", "function")
    assert [(t.input, t.output) for t in twice.problem.examples] == [("2", "4")]
    assert [(t.input, t.output) for t in twice.hidden.tests] == [("0", "0"), ("1", "2")]
    assert "def twice(x):" in twice.problem.statement
    assert [(t.input, t.output) for t in half.hidden.tests] == [("3", "1.5")]
    assert [(t.input, t.output) for t in count.hidden.tests] == [("3", "3")], "only the outermost call"
    assert [(t.input, t.output) for t in median.problem.examples] == [("[3, 1, 2]", "2")], (
        "the wrong one is none"
    )
    assert [t.output for t in median.hidden.tests] == ["3.0", "5"]

    # A second load takes what the first has made, and starts no executor.
    monkeypatch.setattr(conversion, "with_executor", lambda work: pytest.fail("ran again"))
    again = chosen(f"humaneval={path}", tmp_path / "data", limit=1)
    assert [t.id for t in again.tasks] == ["HumanEval/0"]
    assert again.excluded == loaded.excluded


def test_a_partial_or_unnamed_file(small: None, tmp_path: Path) -> None:
    path = write(tmp_path / "HumanEval.jsonl", HUMANEVAL[:-1])
    with pytest.raises(BadInput, match=r"HumanEval\.jsonl: has 8 rows, .* has 9: row 9 and what follows"):
        chosen(f"humaneval={path}", tmp_path)
    for other in (path, tmp_path / "sanitized-mbpp.json", tmp_path / "test.parquet"):
        other.touch()
        with pytest.raises(BadInput, match="say which, as NAME="):
            chosen(str(other), tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test": ...}, "test: is missing"),
        ({"prompt": "def f(:"}, "prompt: is not the beginning"),
        ({"entry_point": "other"}, "prompt: has no function other"),
        ({"base_input": [1]}, "base_input: is not a list of argument lists"),
    ],
)
def test_malformed_rows_are_named(small: None, tmp_path: Path, changes: Row, complaint: str) -> None:
    row = {k: v for k, v in (HUMANEVAL[1] | changes).items() if v is not ...}
    path = write(tmp_path / "HumanEval.jsonl", [HUMANEVAL[0], row, *HUMANEVAL[2:]])
    with pytest.raises(BadInput, match=complaint) as caught:
        chosen(f"humaneval={path}", tmp_path)
    assert f"{path}: row 2 (HumanEval/1)" in str(caught.value)


# ---------------------------------------------------------------- MBPP


def sentence(number: int, code: str, *asserts: str, **more: object) -> Row:
    """A row of MBPP's form."""
    return {"task_id": number, "text": "Write a function.", "code": code, "test_list": list(asserts), **more}


MBPP = [
    sentence(2, "def f(x):\n    return x", "assert f(1) == 1"),
    sentence(
        11,
        "import math\ndef helper(x):\n    return math.sqrt(x)\n"
        "def root(x, places=3):\n    return round(helper(x), places)",
        "assert root(4) == 2.0",
        "assert math.isclose(root(x=9, places=1), 3.0)",
        test_setup_code="import math",
    ),
    sentence(
        12,
        "def both(a, b):\n    return a + b",
        "assert both((1, 2), (3,)) == (1, 2, 3)",
        "assert both([], [1]) == [1]",
    ),
    sentence(
        13, "def common(a, b):\n    return list(set(a) & set(b))", "assert set(common([1, 2], [2])) == {2}"
    ),
    sentence(14, "def flag(x):\n    return x > 1", "assert flag(2)", "assert not flag(0)"),
]


@pytest.mark.integration
def test_mbpp_becomes_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = mbpp.Counted("mbpp", "r", "f", "0" * 40, (len(MBPP),))
    monkeypatch.setattr(mbpp, "FULL", release)
    loaded = chosen(f"mbpp={write(tmp_path / 'mbpp.jsonl', MBPP)}", tmp_path)
    root, both, flag = loaded.tasks
    assert loaded.excluded == {
        "Mbpp/13": "its tests accept more than one answer, and the checkers compare with one"
    }
    assert loaded.sources[0].rows == 5, "also those outside the test split"
    assert root.problem.starter_code == "def root(x, places=3):\n    "
    assert root.problem.statement.endswith("Write the function `root`. Example: root(4) returns 2.0.")
    assert [(t.input, t.output) for t in root.grading_tests] == [("4", "2.0"), ("9\n1", "3.0")]
    assert [(t.input, t.output) for t in both.problem.examples] == [("[1, 2]\n[3]", "[1, 2, 3]")]
    assert flag.problem.examples == ()
    assert "It must satisfy: assert flag(2)" in flag.problem.statement
    assert [t.output for t in flag.hidden.tests] == ["true", "false"]


def test_mbpp_files_are_parquet_or_an_array_too(tmp_path: Path) -> None:
    array = tmp_path / "sanitized-mbpp.json"
    array.write_text(json.dumps(MBPP[:2]))
    assert [row.fields["task_id"] for row in native_rows(array)] == [2, 11]
    table = tmp_path / "test.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(MBPP[2:]), table)
    assert [row.fields["test_list"] for row in native_rows(table)] == [r["test_list"] for r in MBPP[2:]]
    for path, text in ((array, "[{"), (array, "{}"), (array, "[]"), (array, "[1]"), (table, "PAR1")):
        path.write_text(text)
        with pytest.raises(BadInput, match=path.name):
            native_rows(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_list": []}, "every program would pass"),
        ({"test_list": ["assert g(1) == 1"]}, "calls no function of the code"),
        ({"test_list": ["assert f(1 =="]}, "not Python"),
        ({"task_id": "eleven"}, "is not a number"),
    ],
)
def test_malformed_mbpp_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Row, complaint: str
) -> None:
    monkeypatch.setattr(mbpp, "FULL", mbpp.Counted("mbpp", "r", "f", "0" * 40, (1,)))
    row = sentence(11, "def f(x):\n    return x", "assert f(1) == 1") | changes
    with pytest.raises(BadInput, match=complaint):
        chosen(f"mbpp={write(tmp_path / 'mbpp.jsonl', [row])}", tmp_path)


def test_mbpp_is_downloaded_at_its_pin_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def download(repo: str, file: str, *, revision: str, local_dir: Path, **_: object) -> str:
        asked.append((repo, file, revision))
        path = local_dir / "rows.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(MBPP), path)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hub, "must_answer", lambda url, host: None)
    for name, release in (("mbpp", mbpp.FULL), ("mbpp_sanitized", mbpp.SANITIZED), ("mbpp_plus", mbpp.PLUS)):
        with pytest.raises(BadInput, match=rf"has 5 rows, .* has {release.rows[0]}: row 6"):
            chosen(name, tmp_path)
        assert asked[-1] == (release.repo, release.file, release.revision)


# ---------------------------------------------------------------- how many answers are right


@pytest.mark.parametrize(
    ("source", "one"),
    [
        ("assert f(1) == 2", True),
        ("assert 2 == f(1)", True),
        ("assert f(1) is None and not f(2)", True),
        ("assert f(1)", True),
        ("assert list(f(1)) == [2]", True),
        ("assert abs(f(1) - 2) < 1e-6", True),
        ("import math\nassert math.isclose(f(1), 2, rel_tol=0.1)", True),
        ("assertion(f(*inp), exp, 0)", True),
        ("assert g(f) == 1", True),
        ("assert set(f(1)) == {2}", False),
        ("assert sorted(f(1)) == [2]", False),
        ("assert f(1) != 2", False),
        ("assert f(1) < 2", False),
        ("assert f(1) in (1, 2)", False),
        ("assert f(1) == 1 or f(1) == 2", False),
        ("x = f(1)\nassert x == 2", False),
        ("assert f(1)[0] == 2", False),
        ("assert f(1) % 2 == 0", False),
        ("def assertion(a, b, c):\n    assert set(a) == set(b)\nassertion(f(1), 2, 0)", False),
    ],
)
def test_tests_that_accept_one_answer_are_told_from_others(source: str, one: bool) -> None:
    assert accepts_one([source], ["f"]) is one


@pytest.mark.integration
def test_releases_that_give_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EvalPlus's own release: argument lists, no test code; long lists go in several requests."""
    monkeypatch.setattr(conversion, "MAX_INPUTS", 4)
    many = tuple((n,) for n in range(10))
    task = CodeTask("HumanEval/0", "humaneval", "f", "f?", "", "f", "def f(x):\n    return [x]", inputs=many)
    broken = CodeTask(
        "HumanEval/1", "humaneval", "f", "f?", "", "f", "def f(x):\n    return float('nan')", inputs=many[:1]
    )
    rows, excluded = conversion.converted("test", [task, broken], tmp_path)
    (row,) = native_rows(rows)
    assert [test["output"] for test in row.fields["private_tests"]] == [f"[{n}]" for n in range(10)]
    assert excluded == {"HumanEval/1": "it returns NaN, which equals nothing"}


@pytest.mark.integration
def test_conversion_gives_what_the_data_set_gives(tmp_path: Path) -> None:
    """Tasks of HumanEval+ with their references: outputs and examples as in rows that were made elsewhere."""
    rows_file, solutions_file = SHARED / "humaneval_plus.jsonl", SHARED / "solutions_humaneval.jsonl"
    if not rows_file.is_file() or not solutions_file.is_file():
        pytest.skip(f"no HumanEval in {SHARED}: set SHARED_DATA to where the data is")
    references = {
        row.fields["question_id"]: row.text("code")
        for row in native_rows(solutions_file)
        if row.fields["verdict"] == "pass"
    }
    native, wanted = [], {}
    for row in native_rows(rows_file)[:30:3]:
        name, prompt = row.text("question_id"), row.text("starter_code")
        private = {t["input"]: t["output"] for t in row.fields["private_tests"]}
        public = {t["input"]: t["output"] for t in row.fields["public_tests"]}
        wanted[name] = (public, private | public)
        native.append(
            {
                "task_id": name,
                "prompt": prompt,
                "entry_point": row.fields["metadata"]["func_name"],
                "canonical_solution": references[name].removeprefix(prompt),
                "base_input": [[json.loads(a) for a in given.split("\n")] for given in private],
                "plus_input": [],
            }
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(humaneval, "ROWS", len(native))
        loaded = chosen(f"humaneval_plus={write(tmp_path / 'plus.jsonl', native)}", tmp_path)
    assert len(loaded.tasks) == 10
    assert not loaded.excluded
    for task in loaded.tasks:
        public, all_tests = wanted[task.id]
        assert {t.input: t.output for t in task.problem.examples} == public
        assert {t.input: t.output for t in task.grading_tests}.items() <= all_tests.items()
