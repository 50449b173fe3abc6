"""The judge of killed runners finds what is planted, and the moments are the seed's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.run_store import GradeSummary, TaskRecord
from benchmark.run_summary import RunSummary
from tests.chaos.runner import Figures
from tests.chaos.runner_moments import PHASES, Moment, Sight, come, files, has_begun, moments, next_moment
from tests.chaos.runner_verdict import Finished, differences, read

WRONG = (
    *("different", "journals_differ", "lost", "submitted_twice", "duplicated", "repeated_model_calls"),
    *("unfinished_files", "left_running", "stumbles"),
)


def record(**changes: Any) -> TaskRecord:
    """A task's record: passed, with a grade."""
    grade = GradeSummary(
        checker="official", passed=True, tests=3, verdicts=("accepted",) * 3, isolation="pod", seconds=0.5
    )
    fields = {"task": "t", "outcome": "passed", "attempt": 1, "grade": grade, "started_at": 1.0}
    return TaskRecord.model_validate({**fields, "finished_at": 2.0, **changes})


def summary(**changes: Any) -> RunSummary:
    """A run's result."""
    counts = dict.fromkeys(("errors", "tokens_cached", "seed", "tokens_late", "tokens_error"), 0)
    times = {"seconds": 1.0, "overhead_share": 0.1, "model_share": 0.5, "executor_share": 0.1, "timed": 1}
    fields: dict[str, Any] = {"n": 1, "passed": 1, "interval": (0.2, 1.0), "tokens_in": 10, "tokens_out": 5}
    fields |= {"dataset": "d", "condition": "full", "missing": (), "model": "m", "grader": "official"}
    fields |= {"run_dir": "/a", "run_id": "chaos", **counts, **times}
    return RunSummary.model_validate(fields | changes)


def finished(record_: TaskRecord, summary_: RunSummary) -> Finished:
    return Finished({record_.task: record_}, summary_, {}, 1, 0, ())


CALM = finished(record(), summary())


def test_times_are_no_difference() -> None:
    assert CALM.records["t"].grade
    slower = CALM.records["t"].grade.model_copy(update={"seconds": 9.0, "cpu_s": 3.0, "memory_mb": 7.0})
    later = record(started_at=50.0, finished_at=90.0, watched=True, grade=slower)
    assert differences(CALM, finished(later, summary(seconds=40.0, run_dir="/b", timed=0))) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"outcome": "failed"}, "t: outcome was 'passed', is 'failed'"),
        ({"attempt": 2}, "t: attempt was 1, is 2"),
        ({"grade": record().grade.model_copy(update={"tests": 2})}, "t: grade.tests was 3, is 2"),  # type: ignore[union-attr]
    ],
)
def test_what_a_record_says_otherwise_is_told(changed: dict[str, Any], said: str) -> None:
    assert differences(CALM, finished(record(**changed), summary())) == [said]


def test_other_tasks_and_another_result_are_told() -> None:
    assert differences(CALM, replace(CALM, records={})) == ["t: recorded in one of the runs only"]
    told = differences(CALM, finished(record(), summary(tokens_out=6)))
    assert told == ["result.json: tokens_out was 5, is 6"]


def test_a_run_directory_is_read_with_what_a_kill_left_in_it(tmp_path: Path) -> None:
    for folder in ("tasks", "journals"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks" / "t.json").write_text(record().model_dump_json())
    (tmp_path / "tasks" / "u.json.tmp").write_text('{"ta')
    (tmp_path / "result.json").write_text(summary().model_dump_json())
    found = read(tmp_path, {"id": "a journal", "again": "another"})
    assert (found.records.keys(), found.at_gateway, found.journals_differ) == ({"t"}, 2, 1)
    assert found.unfinished_files == ("tasks/u.json.tmp",)
    assert found.tasks["t"].status == "running", "no view: it is not known to have ended"
    json.loads((tmp_path / "result.json").read_text())


def test_moments_are_the_seeds_and_every_phase_has_its_turn() -> None:
    drawn = moments(21, seed=3)
    assert drawn == moments(21, seed=3) != moments(21, seed=4)
    assert Counter(moment.phase for moment in drawn) == Counter({**dict.fromkeys(PHASES, 4), "finish": 1})
    assert drawn[-1].phase == "finish"
    assert {moment.alone for moment in drawn} == {True, False}
    assert max(m.delay_s for m in moments(50, 0, own_stack=True) if m.phase == "start") > 1.5


@pytest.mark.parametrize(
    ("phase", "change"),
    [
        ("submit", {"submitted": 2}),
        ("wait", {"asked": 5}),
        ("grade", {"ended": 1}),
        ("write", {"files": frozenset({("tasks/t.json.tmp", 1)})}),
        ("finish", {"recorded": 4}),
    ],
)
def test_a_phase_begins_with_its_sign_and_never_before_the_runner_does(
    phase: Any, change: dict[str, Any]
) -> None:
    before = Sight(submitted=1)
    now = replace(before, begun=True)
    begun: Callable[[Sight], bool] = lambda sight: has_begun(phase, before, sight, tasks=4)  # noqa: E731
    assert not begun(now)
    assert begun(replace(now, **change))
    assert not begun(replace(before, **change)), "the stack went on by itself, while no runner lived"
    assert has_begun("start", before, before, tasks=4)


def test_the_next_moment_is_one_that_can_still_come() -> None:
    waiting = [Moment(phase, 0.0, True) for phase in ("submit", "wait", "write", "finish")]
    chosen: Callable[[Sight], str] = lambda now: next_moment(waiting, now, tasks=4).phase  # noqa: E731
    assert chosen(Sight()) == "submit"
    assert chosen(Sight(submitted=4, ended=3)) == "wait"
    assert chosen(Sight(submitted=4, ended=4)) == "write"
    assert chosen(Sight(submitted=4, ended=4, recorded=4)) == "finish"
    assert next_moment(waiting[:1], Sight(submitted=4), tasks=4).phase == "submit", "there is no other"


def test_a_moment_that_cannot_come_any_more_comes_at_the_end_or_at_another_beginning() -> None:
    moment, begun = Moment("submit", 0.0, True), Sight(begun=True)
    assert come(moment, Sight(), begun, tasks=4) is None
    assert come(moment, Sight(), replace(begun, submitted=1), tasks=4) == "submit"
    assert come(moment, Sight(submitted=4), replace(begun, submitted=4, recorded=4), tasks=4) == "finish"
    assert come(moment, Sight(recorded=4), Sight(), tasks=4) == "start"


def test_files_are_seen_by_name_and_time(tmp_path: Path) -> None:
    assert files(tmp_path) == frozenset()
    (tmp_path / "a.tmp").write_text("1")
    seen = files(tmp_path)
    assert [name for name, _ in seen] == ["a.tmp"]
    (tmp_path / "a.tmp").rename(tmp_path / "a")
    assert files(tmp_path) != seen


@pytest.mark.parametrize("figure", WRONG)
def test_any_one_figure_fails_the_run(figure: str) -> None:
    good = Figures(tasks=1, kills=2, seed=0, own_stack=False, phases={"wait": 2}, **dict.fromkeys(WRONG, 0))
    assert good.clean(kills=2)
    assert not replace(good, **{figure: 1}).clean(kills=2)
    assert not good.clean(kills=3), "kills that never came prove nothing"
