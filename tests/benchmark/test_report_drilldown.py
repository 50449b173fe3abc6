"""Single tasks in a report: told from journals, whole where they fit, cut with a note where they do not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from atlas.policy import POLICIES
from benchmark.report import fitting
from benchmark.report.content import TaskSection
from benchmark.report.drilldown import Attempt, Told, sections, status_of, tell
from benchmark.report.fitting import LEVELS, cut_text, fit
from benchmark.results import load_runs
from tests.benchmark.report_runs import make_run


def told(directory: Path) -> list[Told]:
    (run,) = load_runs([directory])
    return [tell(Attempt(0, "D", run, result), lambda *_: "") for result in run.tasks]


def by_task(directory: Path) -> list[TaskSection]:
    return sections(told(directory), 1, lambda *_: "")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = POLICIES["D"].model_copy(update={"k": 3})
    return make_run(tmp_path_factory.mktemp("full") / "D", policy, 24, energies=True)


def test_a_task_is_told_with_plans_candidates_executions_repairs_and_the_choice(full: Path) -> None:
    repaired = next(each for each in told(full) if each.origin == "repair")
    note = repaired.note
    assert [plan.algorithm for plan in note.plans] == [
        "Approach 0: add as <i>you</i> read",
        "Approach 1: add as <i>you</i> read",
    ]
    titles = [candidate.title for candidate in note.candidates]
    assert titles == [
        "sample after plan 1",
        "sample after plan 2",
        "plain sample",
        "repair of c0, looking at logical consistency",
    ]
    assert [each.chosen for each in note.candidates] == [False, False, False, True]
    assert any(fact.startswith(("energy 0.", "energy 1.")) for fact in note.candidates[0].facts)
    assert any(fact.startswith("mean logprob") for fact in note.candidates[0].facts)
    execution = note.candidates[0].execution
    assert execution is not None
    assert (execution.passed, execution.total) == (1, 2)
    assert execution.lines[1] == "example 2: wrong answer; it printed <b>7</b>"
    assert note.reasons[0].startswith("r0 ")
    assert note.story[0].endswith("2 public examples; runs without budget_forcing")
    assert repaired.energy is not None


def test_the_grade_is_said_in_words_that_hold_no_test(full: Path) -> None:
    for each in told(full):
        passed = each.attempt.result.passed
        wanted = (
            "passed: all 5 tests accepted (official)" if passed else "failed: wrong answer on test 2 of 5"
        )
        assert each.note.headline.startswith(wanted)


def test_without_a_journal_the_program_is_shown_and_said_to_be_all(tmp_path: Path) -> None:
    section = by_task(make_run(tmp_path / "r", POLICIES["A"], 1, journals=False))[0]
    (attempt,) = section.attempts
    assert attempt.note == "This run kept no journal of the task."
    assert [candidate.title for candidate in attempt.candidates] == ["the submitted program"]
    assert "print(sum(" in (attempt.candidates[0].code or "")
    assert section.statement == ""


def test_a_broken_journal_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "r", POLICIES["A"], 2)
    first, second = sorted((directory / "journals").iterdir())
    lines = first.read_text().splitlines(keepends=True)
    first.write_text("".join([*lines[:2], *lines[3:]]))
    second.write_text("{not json\n")
    notes = [section.attempts[0].note for section in by_task(directory)]
    assert all(note.startswith("The journal cannot be read to its end") for note in notes)


def test_an_error_is_no_result(tmp_path: Path) -> None:
    section = by_task(make_run(tmp_path / "r", POLICIES["A"], 1, errors=(0,)))[0]
    assert (section.verdict, section.statuses) == ("error", ("error",))
    assert section.attempts[0].headline == "no result: the gateway refused: <b>503</b>"


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["passed", "passed"], "passed"),
        (["failed", "error"], "failed"),
        (["passed", "failed"], "mixed"),
        (["error"], "error"),
        ([], "absent"),
    ],
)
def test_outcomes_over_seeds(outcomes: list[str], status: str) -> None:
    assert status_of(outcomes) == status


def test_what_fits_is_whole(full: Path) -> None:
    whole = by_task(full)
    assert fit(whole) == (whole, "")


def test_what_does_not_fit_is_cut_level_by_level_and_said(full: Path, tmp_path: Path) -> None:
    long = make_run(
        tmp_path / "r", POLICIES["D"], 6, code=lambda *_: "x = 1\n" * 5_000, statement="s" * 9_000
    )
    whole = by_task(long)
    assert whole[0].statement == "s" * 9_000
    sizes = []
    for budget in (10**9, 300_000, 60_000, 20_000, 1):
        kept, note = fit(whole, budget)
        size = sum(map(fitting._weight, kept))
        sizes.append(size)
        assert size <= budget or budget == 1
        assert bool(note) == (budget != 10**9)
        cuts = [
            candidate.cut for section in kept for each in section.attempts for candidate in each.candidates
        ]
        assert all("more characters are not shown" in cut for cut in cuts)
    assert sizes == sorted(sizes, reverse=True)
    smallest, note = fit(whole, 1)
    assert "no programs" in note
    assert [len(each.candidates) for each in smallest[0].attempts] == [1]
    assert "other program" in smallest[0].attempts[0].note or len(whole[0].attempts[0].candidates) == 1


def test_levels_only_ever_show_less() -> None:
    for more, less in pairwise(LEVELS):
        assert (less.code, less.statement, less.text, less.lines) <= (
            more.code,
            more.statement,
            more.text,
            more.lines,
        )
    assert cut_text("abc", 3) == ("abc", "")
    assert cut_text("abcd", 3) == ("abc", "1 more characters are not shown")
