"""The measurement of a judge: known programs on small tasks, right and wrong verdicts, rows left out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from atlas.contracts import Limits, Verdict
from atlas.errors import BadInput
from benchmark import judge, judge_subprocess
from benchmark.datasets import normalised
from benchmark.judge import Outcome

Row = dict[str, Any]


def stdin_test(given: str, wanted: str) -> Row:
    return {"input": given, "output": wanted, "testtype": "stdin"}


def task_row(name: str = "double", **more: Any) -> Row:
    return {
        "question_id": name,
        "question_content": "Print twice the number.",
        "public_tests": [stdin_test("1\n", "2\n")],
        "private_tests": [stdin_test("2\n", "4\n"), stdin_test("0\n", "0\n")],
    } | more


def function_row(name: str = "plus") -> Row:
    def test(given: str, wanted: str) -> Row:
        return {"input": given, "output": wanted, "testtype": "functional"}

    return task_row(name) | {
        "public_tests": [test("1\n2", "3")],
        "private_tests": [test("[1]\n[2]", "[1, 2]")],
        "metadata": {"func_name": "plus"},
    }


def solution(verdict: str = "pass", code: str = "print(2 * int(input()))", **more: Any) -> Row:
    return {"question_id": "double", "code": code, "verdict": verdict} | more


def write(path: Path, *rows: Row) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            file.write(text)
    else:
        path.write_text(text)
    return path


def read_one(tmp_path: Path, **more: Any) -> normalised.Solution:
    return normalised.solutions(write(tmp_path / "s.jsonl", solution(**more)))[0]


# ---------------------------------------------------------------- rows


def test_a_question_may_have_many_solutions_and_each_has_a_name(tmp_path: Path) -> None:
    found = normalised.solutions(write(tmp_path / "s.jsonl", solution(), solution("fail")))
    assert [each.name for each in found] == ["1:double", "2:double"]
    assert [each.passes for each in found] == [True, False]


def test_a_regrade_counts_more_than_the_published_verdict(tmp_path: Path) -> None:
    found = read_one(tmp_path, verdict="pass", regrade_official_full="fail", regrade_error_code=-3)
    assert (found.passes, found.kind) == (False, "time_limit")
    found = read_one(tmp_path, verdict="fail", error_code=-4, regrade_official_full=None)
    assert (found.passes, found.kind) == (False, "runtime_error")
    found = read_one(tmp_path, verdict="fail", error_code=-3, regrade_official_full="pass")
    assert (found.passes, found.kind) == (True, None)


def test_a_kind_may_be_a_word_and_a_right_program_has_none(tmp_path: Path) -> None:
    assert read_one(tmp_path, verdict="fail", kind="wrong_answer").kind == "wrong_answer"
    assert read_one(tmp_path, verdict="pass", kind="pass").kind is None


@pytest.mark.parametrize(
    "more", [{"verdict": "perhaps"}, {"code": None}, {"code": 3}, {"question_id": ""}, {"verdict": None}]
)
def test_malformed_rows_are_refused_by_number(tmp_path: Path, more: Row) -> None:
    with pytest.raises(BadInput, match="row 2"):
        normalised.solutions(write(tmp_path / "s.jsonl", solution(), solution() | more))


@pytest.mark.parametrize("text", ["", "[]\n", "{\n"])
def test_files_that_hold_no_rows_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput):
        normalised.solutions(path)


def test_rows_that_the_files_cannot_decide_are_skipped_with_a_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl",
        task_row(),
        task_row("bare", private_tests=[]),
        task_row("loose", metadata={"exact_match_validated": False}),
        task_row("strict", metadata={"exact_match_validated": True}),
    )
    tasks = normalised.tasks([path], ["double", "bare", "loose", "strict", "gone"])
    names = ("double", "bare", "loose", "strict", "gone")
    rows = [normalised.Solution(1, name, "", passes=True) for name in names]
    assert [tasks.why_not(row) for row in rows] == [
        *("", normalised.NO_TESTS, normalised.NOT_EXACT, "", normalised.NO_TASK),
    ]


def test_large_tests_come_last_and_decide_the_rows_that_need_them(tmp_path: Path) -> None:
    one_left_out = {"n_private_dropped_over_cap": 1}
    path = write(tmp_path / "t.jsonl", task_row(metadata=one_left_out), task_row("other"))
    large = write(tmp_path / "big.jsonl.gz", {"question_id": "double", "tests": [stdin_test("9\n", "18\n")]})
    needs = normalised.Solution(1, "double", "", passes=False, on_large_test=True)
    without = normalised.tasks([path], ["double", "other"])
    with_large = normalised.tasks([path], ["double", "other"], large)
    assert without.why_not(needs) == normalised.TEST_LEFT_OUT
    assert with_large.why_not(needs) == ""
    assert (without.left_out, with_large.left_out) == ({"double": 1}, {})
    tests = with_large.by_id["double"].grading_tests
    assert [test.input for test in tests] == ["1\n", "2\n", "0\n", "9\n"]
    assert len(with_large.by_id["other"].grading_tests) == 3


def test_a_row_that_needs_one_of_many_large_tests_is_skipped_unless_all_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", task_row(metadata={"n_private_dropped_over_cap": 2}))
    large = write(tmp_path / "big.jsonl", {"question_id": "double", "tests": [stdin_test("9\n", "18\n")]})
    tasks = normalised.tasks([path], ["double"], large)
    row = normalised.Solution(1, "double", "", passes=False, on_large_test=True)
    assert tasks.left_out == {"double": 1}
    assert tasks.why_not(row) == normalised.TEST_LEFT_OUT
    assert tasks.why_not(normalised.Solution(1, "double", "", passes=False)) == ""


def test_a_task_in_two_files_is_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, task_row()) for name in ("a.jsonl", "b.jsonl")]
    with pytest.raises(BadInput, match="is also in"):
        normalised.tasks(paths, ["double"])


# ---------------------------------------------------------------- what is made of a grade


def outcome(passed: bool | None, *verdicts: Verdict, expected: bool = False) -> Outcome:
    return Outcome(normalised.Solution(7, "double", "", passes=expected), passed, verdicts, tests=5)


def test_kinds_are_the_official_graders() -> None:
    kinds = {last: outcome(False, Verdict.ACCEPTED, last).kind for last in Verdict}
    assert kinds.pop(Verdict.WRONG_ANSWER) == "wrong_answer"
    assert kinds.pop(Verdict.TIME_LIMIT) == "time_limit"
    assert set(kinds.values()) == {"runtime_error"}
    assert outcome(True).kind is outcome(None).kind is None


def test_a_failed_machinery_never_agrees() -> None:
    assert not outcome(None, expected=False).agrees
    assert not outcome(None, expected=True).agrees
    assert outcome(None).disagreement().ours == "error"


def test_a_disagreement_names_the_row_and_both_verdicts() -> None:
    row = outcome(True, *[Verdict.ACCEPTED] * 5).disagreement()
    assert (row.id, row.expected, row.ours) == ("7:double", "fail", "pass")
    assert row.verdicts == "5 accepted"
    row = outcome(False, Verdict.ACCEPTED, Verdict.TIME_LIMIT, expected=True).disagreement()
    assert (row.expected, row.ours, row.verdicts) == ("pass", "fail", "accepted, time_limit")
    assert (row.test, row.tests) == (2, 5)


# ---------------------------------------------------------------- real programs


@pytest.mark.integration
@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("print(2 * int(input()))", ("accepted",) * 3),
        ("print(2)", ("accepted", "wrong_answer")),
        ("print(2 * int(input()) if input else 1 / 0)\n1 / 0", ("runtime_error",)),
        ("while True: pass", ("time_limit",)),
        ("print(", ("runtime_error",)),
        ("import sys\nprint(2 * int(sys.stdin.buffer.readline()))\nsys.exit()", ("accepted",) * 3),
    ],
)
def test_plain_subprocesses_judge_scripts(tmp_path: Path, code: str, wanted: tuple[str, ...]) -> None:
    task = normalised.tasks([write(tmp_path / "t.jsonl", task_row())], ["double"]).by_id["double"]
    quick = judge.limited(task, Limits(time_s=1.0))
    assert tuple(v.value for v in judge_subprocess.verdicts(quick, code, "official")) == wanted


@pytest.mark.integration
@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("class Solution:\n def plus(self, a, b):\n  print('noise')\n  return a + b", ("accepted",) * 2),
        ("def plus(a, b): return a + b", ("accepted",) * 2),
        ("def plus(a: List[int], b): return reduce(operator.add, [a, b])", ("accepted",) * 2),
        ("def plus(a, b): return 3", ("accepted", "wrong_answer")),
        ("def subtract(a, b): return 3", ("runtime_error",)),
    ],
)
def test_plain_subprocesses_judge_functions(tmp_path: Path, code: str, wanted: tuple[str, ...]) -> None:
    task = normalised.tasks([write(tmp_path / "t.jsonl", function_row())], ["plus"]).by_id["plus"]
    assert tuple(v.value for v in judge_subprocess.verdicts(task, code, "official")) == wanted


@pytest.mark.integration
def test_the_command_counts_names_and_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write(tmp_path / "t.jsonl", task_row(), function_row())
    rows = write(
        tmp_path / "s.jsonl",
        solution("pass"),
        solution("fail", "print(2)", kind="wrong_answer"),
        solution("fail", "print(2)", kind="runtime_error"),
        solution("fail"),  # is right
        solution("pass", "1 / 0"),
        solution("pass", "def plus(a, b): return a + b", question_id="plus"),
        solution("pass", question_id="gone"),
    )
    argv = ["--tasks", str(tasks), "--solutions", str(rows), "--compare", "--json", "--jobs", "2"]
    assert judge.main(argv) == 0
    said = capsys.readouterr()
    report = json.loads(said.out.splitlines()[-1])
    assert (report["n"], report["agree"]) == (6, 4)
    assert report["rate_low"] < report["rate"] < report["rate_high"]
    differing = [(row["id"], row["expected"], row["ours"], row["verdicts"]) for row in report["disagree"]]
    assert differing == [
        ("4:double", "fail", "pass", "3 accepted"),
        ("5:double", "pass", "fail", "runtime_error"),
    ]
    assert (report["kinds"]["n"], report["kinds"]["agree"]) == (2, 1)
    assert report["kinds"]["disagree"][0]["id"] == "3:double"
    assert report["skipped"] == [{"reason": normalised.NO_TASK, "n": 1, "ids": ["7:gone"]}]
    assert report["subprocess_agree"] == 4
    assert report["wall_s"] > 0
    assert report["subprocess_wall_s"] > 0
    assert "4 of 6 agree" in said.err


@pytest.mark.integration
@pytest.mark.parametrize(("more", "n"), [([], 1), (["--all-rows"], 2)])
def test_undecided_rows_count_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], n: int
) -> None:
    tasks = write(tmp_path / "t.jsonl", task_row(metadata={"n_private_dropped_over_cap": 2}))
    rows = write(tmp_path / "s.jsonl", solution(), solution("fail", fails_on_shipped_tests=False))
    assert judge.main(["--tasks", str(tasks), "--solutions", str(rows), "--json", *more]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["n"], report["agree"]) == (n, 1)
    assert [row["left_out"] for row in report["disagree"]] == [2] * (n - 1)


def test_nothing_to_judge_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks, rows = write(tmp_path / "t.jsonl", task_row()), write(tmp_path / "s.jsonl", solution())
    write(rows, solution(question_id="gone"))
    assert judge.main(["--tasks", str(tasks), "--solutions", str(rows), "--json"]) == judge.FAILED
    said = capsys.readouterr()
    assert said.out == ""
    assert normalised.NO_TASK in said.err


async def test_ways_take_turns_and_keep_the_rows_order() -> None:
    rows = [normalised.Solution(number, "q", "", passes=True) for number in range(2 * judge.BLOCK + 1)]
    calls: list[str] = []

    def way(name: str) -> judge.JudgeOne:
        async def one(each: normalised.Solution) -> Outcome:
            calls.append(name)
            return Outcome(each, True, (), 0)

        return one

    with judge.JudgeProgress(Console(quiet=True), 2 * len(rows)) as progress:
        outcomes, walls = await judge._all(rows, [way("a"), way("b")], 2, progress)
    blocks = "a" * judge.BLOCK + "b" * judge.BLOCK
    assert "".join(calls) == blocks + blocks[::-1] + "ab"
    assert [[each.solution for each in one] for one in outcomes] == [rows, rows]
    assert len(walls) == 2
