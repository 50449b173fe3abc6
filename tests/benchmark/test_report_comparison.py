"""Compared programs and abstentions in a report: who agrees where, and rates among those answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.events import TaskSubmitted
from atlas.policy import POLICIES, Policy
from atlas.state import TaskState, fold
from benchmark.report.comparison import comparison
from benchmark.report.figures import calibration
from benchmark.report.gather import gather
from benchmark.report.pages import html_page
from benchmark.results import RunResults, TaskResult, load_journal, load_record, load_run
from benchmark.run_store import RunStore
from benchmark.run_summary import summarise, table
from tests.benchmark.report_runs import make_run

COMPARES = Policy(
    name="compares",
    k=4,
    plans=2,
    stop_after_passing=0,
    inputs=8,
    input_tokens=1536,
    distinguish=1,
    readings=3,
    abstain_below=0.4,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    return load_run(make_run(tmp_path_factory.mktemp("compared") / "run", COMPARES, 40, compared=True))


def state_of(result: TaskResult) -> TaskState:
    return fold(TaskState(), load_journal(result))


def several(run: RunResults) -> TaskResult:
    return next(each for each in run.tasks if (each.candidates or 0) >= 3)


def test_programs_with_the_same_output_share_a_letter(run: RunResults) -> None:
    result = several(run)
    seen = comparison(state_of(result), result.candidate)
    assert seen is not None
    assert (len(seen.inputs), len(seen.rows[0].cells)) == (8, 8)
    assert seen.note.endswith("accepts every public example; 3 refused")
    first, second, third = ([cell.mark for cell in row.cells if cell] for row in seen.rows[:3])
    assert first == third == ["A"] * 7 + ["×"]
    assert second == ["B", "B", "A", "B", "B", "B", "B", "×"]
    assert seen.rows[0].cells[0] is not None
    assert seen.rows[0].cells[0].said == "output A: 0"
    assert seen.rows[0].cells[7] is not None
    assert seen.rows[0].cells[7].said == "time limit"
    assert [cluster.probability for cluster in seen.clusters] == [0.6, 0.3]
    assert seen.reading.startswith("the model reads the statement: 2 votes for c0, 1 for c1; input: ")
    assert not any("\x1b" in each.text for each in seen.inputs)


def test_a_program_that_was_not_run_on_an_input_has_no_cell(run: RunResults) -> None:
    entries = load_journal(several(run))
    last = max(n for n, entry in enumerate(entries) if entry.event.type == "CandidateProbed")
    seen = comparison(fold(TaskState(), entries[:last]), None)
    assert seen is not None
    assert all(cell is not None for row in seen.rows for cell in row.cells)
    assert (seen.clusters, seen.reading) == ((), "")


def test_a_journal_without_comparing_has_none(tmp_path: Path) -> None:
    old = load_run(make_run(tmp_path / "old", POLICIES["B"], 3))
    state = state_of(old.tasks[0])
    assert isinstance(state.submitted, TaskSubmitted)
    assert comparison(state, None) is None
    page = html_page(gather([old]), "")
    assert '<table class="matrix"' not in page
    assert "abstained" not in page


def test_a_task_that_abstained_is_a_result_that_is_not_passed(run: RunResults) -> None:
    silent = [each for each in run.tasks if each.abstained]
    assert 0 < len(silent) < len(run.tasks)
    for each in silent:
        assert (each.outcome, each.program, each.candidate) == ("failed", None, None)
        assert each.confidence is not None
        assert each.confidence < 0.4
        assert load_record(run, each.task).view is not None


def test_rates_among_those_answered_stand_beside_the_rate_of_all(run: RunResults) -> None:
    silent, passed = sum(each.abstained for each in run.tasks), run.passed
    report = gather([run])
    [row] = report.conditions
    assert (row.n, row.abstained) == (40, silent)
    assert row.pass_rate == pytest.approx(passed / 40)
    assert row.selective is not None
    assert (row.selective.n, row.selective.rate) == (40 - silent, pytest.approx(passed / (40 - silent)))
    page = html_page(report, "")
    assert f"of {40 - silent} answered" in page
    assert f"{silent} abstained" in page
    assert "Why no program" in page
    with RunStore(run.directory, run.configuration) as store:
        said = summarise(store, [each.task for each in run.tasks])
    assert (said.abstained, said.selective) == (silent, round(passed / (40 - silent), 4))
    assert table(said).row_count > 0


def test_calibration_is_the_brier_score_and_the_error_over_bins_of_equal_mass() -> None:
    def said(brier: str, error: str, n: int) -> str:
        return (
            f"Confidence, if answered: Brier score {brier}, calibration error over 5 bins of equal mass "
            f"{error} (n = {n})"
        )

    assert calibration([(1.0, True)] * 5 + [(0.0, False)] * 5) == said("0.000", "0.000", 10)
    overconfident = [(0.9, n % 2 == 0) for n in range(10)]
    assert calibration(overconfident) == said("0.410", "0.400", 10)
    assert calibration([(0.5, True)]) == said("0.250", "0.500", 1)
