"""Regrading: every program by both checkers, resumable, on the run's own data; nothing hidden on disk."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from atlas.checkers import Checker
from atlas.config import Settings
from atlas.contracts import Verdict
from atlas.errors import BadInput, Conflict, InfrastructureError
from benchmark import regrade as command
from benchmark.datasets import oddities, selection
from benchmark.drawn import programs
from benchmark.grades import FILE, GradeFile, Program, ProgramGrade, load_grades
from benchmark.regrade import Regraded, grade_both, parse, regrade
from benchmark.results import load_run, program_sha256
from benchmark.run_store import GradeSummary
from benchmark.scoring.grader import Grade
from benchmark.tasks import Task
from tests.benchmark.drawn_runs import SECRET_IN, SECRET_OUT, Draw, make_run, task

CALL = "python -m benchmark.regrade "
OK, WRONG, SLOW = Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.TIME_LIMIT


class ScriptedGrader:
    """What a program is called decides: `right`, `wrong`, `slow`, `only strict` accepts it, `flaky`."""

    def __init__(self, broken: int = 0) -> None:
        self.broken = broken
        self.asked: list[tuple[str, str | None, Checker]] = []

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        self.asked.append((task.id, code, checker))
        if self.broken:
            self.broken -= 1
            return Grade(task.id, checker, passed=None, tests=2, error="executor: gone")
        name = str(code).split("#")[0]
        fails = {"wrong": WRONG, "slow": SLOW}.get(name)
        if name == "only strict" and checker == "official":
            fails = WRONG
        if name == "flaky" and checker == "strict":
            fails = SLOW
        verdicts = (OK, fails) if fails else (OK, OK)
        return Grade(task.id, checker, passed=fails is None, verdicts=verdicts, tests=2, isolation="fake")


@pytest.fixture
def regraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Regraded]:
    """Regrade `tmp_path/run`, whose tasks come as if from a data set."""

    def do(tasks: list[Task], grader: ScriptedGrader) -> Regraded:
        loaded = selection.Loaded(selection.Selection(), tuple(tasks), ())
        monkeypatch.setattr(selection, "load", lambda chosen, data_dir: loaded)
        options = parse([str(tmp_path / "run"), "--jobs", "2"])
        return asyncio.run(regrade(options, Settings(), Console(file=io.StringIO()), grader))

    return do


def test_every_distinct_program_is_graded_once_by_each_checker(
    tmp_path: Path, regraded: Callable[..., Regraded]
) -> None:
    drawn = {
        "a": [Draw("wrong"), Draw("right"), Draw("right"), Draw(None)],
        "b": [Draw("right"), Draw("wrong", "repair")],
    }
    tasks = make_run(tmp_path / "run", drawn, wrong=["a"])
    grader = ScriptedGrader()
    result = regraded(tasks, grader)
    assert (result.programs, result.graded_now, result.errors, result.tasks) == (4, 4, 0, 2)
    assert sorted(grader.asked) == sorted(
        (name, code, checker)
        for name in ("a", "b")
        for code in ("right", "wrong")
        for checker in ("official", "strict")
    )
    assert (result.official_passed, result.strict_passed, result.differ, result.changed) == (1, 1, (), ())
    assert {m.name: m.rate for m in result.protocol.metrics}["public_selected@2"] == 0.5
    again = regraded(tasks, grader := ScriptedGrader())
    assert (again.graded_now, grader.asked) == (0, [])
    assert again.model_copy(update={"graded_now": 4}) == result


def test_no_test_ever_gets_into_the_run(tmp_path: Path, regraded: Callable[..., Regraded]) -> None:
    tasks = make_run(tmp_path / "run", {"a": [Draw("wrong")]})
    result = regraded(tasks, ScriptedGrader())
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert FILE in {path.name for path in files}
    for text in (result.model_dump_json(), *(path.read_text() for path in files)):
        assert SECRET_IN not in text
        assert SECRET_OUT not in text


def test_submissions_on_which_the_checkers_differ_are_listed(
    tmp_path: Path, regraded: Callable[..., Regraded], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {name: [Draw(code)] for name, code in {"a": "only strict", "b": "flaky", "c": "slow"}.items()}
    tasks = make_run(tmp_path / "run", drawn, wrong=["a"])
    odd = oddities.Oddity(id="a", kind="multi_answer", reason="any order", source="s", strict=False)
    monkeypatch.setattr(oddities, "of", lambda task: odd if task.id == "a" else None)
    result = regraded(tasks, ScriptedGrader())
    (only,) = result.differ
    assert (only.task, only.official, only.strict, only.verdict) == ("a", False, True, WRONG)
    assert only.oddity == "multi_answer: any order"
    assert (result.unstable, result.changed, result.odd_tasks) == (("b",), ("c",), ("a",))
    said = "\n".join(command.lines(result))
    assert "a: strict passes; known: multi_answer" in said
    assert "near a limit: b" in said


async def test_a_crash_or_a_limit_is_not_run_again_for_the_strict_checker() -> None:
    grader = ScriptedGrader()
    both = await grade_both(task("a"), "slow", grader)
    assert [checker for _, _, checker in grader.asked] == ["official"]
    assert (both.strict.passed, both.strict.checker, both.differ) == (False, "strict", False)
    assert both.program == Program("a", program_sha256("slow"))


def test_machinery_that_fails_is_an_error_and_tried_again(
    tmp_path: Path, regraded: Callable[..., Regraded]
) -> None:
    tasks = make_run(tmp_path / "run", {"a": [Draw("right")], "b": [Draw("right")]})
    first = regraded(tasks, ScriptedGrader(broken=2))
    assert first.errors == 1 or first.errors == 2
    assert first.official_passed == 2 - first.errors
    second = regraded(tasks, ScriptedGrader())
    assert (second.graded_now, second.errors, second.official_passed) == (first.errors, 0, 2)


def test_a_data_set_that_is_not_the_runs_is_refused(
    tmp_path: Path, regraded: Callable[..., Regraded]
) -> None:
    tasks = make_run(tmp_path / "run", {"a": [Draw("right")], "b": [Draw("right")]})
    with pytest.raises(
        BadInput, match="made on 2 tasks of 'tasks'; the 2 tasks of 'bundled' are not the same"
    ):
        regraded(tasks[::-1], ScriptedGrader())
    assert not (tmp_path / "run" / FILE).exists()


def test_tasks_without_a_result_have_no_programs_yet(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"a": [Draw("right")], "b": [Draw("right")]}, errors=["b"])
    assert [name.task for name in programs(load_run(tmp_path / "run"))] == ["a"]


# ---------------------------------------------------------------- the file


def summary(checker: Checker, passed: bool | None, *verdicts: Verdict) -> GradeSummary:
    return GradeSummary(
        checker=checker, passed=passed, tests=2, verdicts=verdicts, isolation="fake", seconds=0.1
    )


def program_grade(task: str, passed: bool | None = True) -> ProgramGrade:
    verdicts = () if passed is None else (OK, OK) if passed else (OK, WRONG)
    official, strict = (summary(checker, passed, *verdicts) for checker in ("official", "strict"))
    return ProgramGrade(task=task, program_sha256="0" * 64, official=official, strict=strict)


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_last_of_two_counts(tmp_path: Path) -> None:
    with GradeFile(tmp_path) as file:
        file.add(program_grade("a", None))
        file.add(program_grade("b"))
    whole = (tmp_path / FILE).read_bytes()
    for cut in (1, 20, 200):
        (tmp_path / FILE).write_bytes(whole[:-cut])
        assert [name.task for name in load_grades(tmp_path)] == ["a"]
    with GradeFile(tmp_path) as file:
        file.add(program_grade("a", False))
    grades = load_grades(tmp_path)
    assert [grade.official.passed for grade in grades.values()] == [False]
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 2


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with GradeFile(tmp_path), pytest.raises(Conflict, match="another process"), GradeFile(tmp_path):
        pass
    with GradeFile(tmp_path):
        pass
    with pytest.raises(InfrastructureError, match="cannot write"), GradeFile(tmp_path / "nowhere"):
        pass


def test_a_line_that_is_no_grade_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(InfrastructureError, match=r"grades.jsonl: line 1 is no grade"):
        load_grades(tmp_path)


def test_passing_the_examples_needs_them_all() -> None:
    assert program_grade("a").passes_examples(2)
    assert program_grade("a", False).passes_examples(1)
    assert not program_grade("a", False).passes_examples(2)
    assert not program_grade("a", None).passes_examples(1)
    assert program_grade("a", False).passes_examples(0)


# ---------------------------------------------------------------- the command


def test_what_is_no_run_ends_with_1_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path)]) == 1
    assert "is not a run directory" in capsys.readouterr().err


def test_the_calls_in_the_documents_are_calls() -> None:
    documents = (Path(__file__).parents[2] / "docs").glob("*.md")
    lines = [line for document in documents for line in document.read_text().splitlines()]
    calls = [shlex.split(line, comments=True) for line in lines if line.startswith(CALL)]
    assert calls
    for call in calls:
        assert parse(call[len(CALL.split()) :]).run


@pytest.mark.integration  # a real executor
def test_the_command_on_a_real_executor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "question_id": name,
            "question_content": "Print half of the number.",
            "public_tests": [{"input": "2\n", "output": "1\n", "testtype": "stdin"}],
            "private_tests": [{"input": "1\n", "output": "0.5\n", "testtype": "stdin"}],
        }
        for name in ("a", "b")
    ]
    data = tmp_path / "halves.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = selection.Selection(dataset=(str(data),))
    loose = "x = int(input())\nprint(1 if x == 2 else 0.5000000001)"
    make_run(tmp_path / "run", {"a": [Draw(loose), Draw("print(")], "b": [Draw("print(int(input()) / 2)")]})
    tasks = selection.load(chosen, tmp_path).tasks
    config = tmp_path / "run" / "config.json"
    content = json.loads(config.read_text())
    content["configuration"]["dataset_sha256"] = command.content_sha256(tasks)
    config.write_text(json.dumps(content))
    assert command.main([str(tmp_path / "run"), "--dataset", str(data), "--json"]) == 0
    out = capsys.readouterr().out
    result = Regraded.model_validate_json(out.splitlines()[-1])
    assert (result.programs, result.errors) == (3, 0)
    assert [(each.task, each.official, each.strict) for each in result.differ] == [("a", False, True)]
    assert result.changed == ("a",)
