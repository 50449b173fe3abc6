"""What a task's end comes to: a result, or an error that is nobody's wrong answer."""

from __future__ import annotations

import pytest

from atlas.api import TaskView
from atlas.contracts import Usage
from benchmark.run_store import GradeSummary
from benchmark.solve import judged

VIEW = TaskView(
    id="t",
    status="decided",
    policy="A",
    model="m",
    priority="p1",
    submitted_at=0,
    seconds=1,
    events=9,
    usage=Usage(),
    program="print(1)",
)


def grade(passed: bool | None) -> GradeSummary:
    return GradeSummary(
        checker="official", passed=passed, tests=1, verdicts=(), isolation="fake", seconds=0, note="why"
    )


@pytest.mark.parametrize(
    ("changes", "passed", "outcome", "cause"),
    [
        ({}, True, "passed", None),
        ({}, False, "failed", None),
        ({}, None, "error", "grader"),
        ({"status": "cancelled"}, None, "error", "task"),
        ({"infrastructure": True}, None, "error", "task"),
        ({"deadline_reached": True}, False, "failed", None),
        ({"deadline_reached": True, "deadline_missed": True}, False, "error", "task"),
        ({"deadline_reached": True, "deadline_missed": True}, True, "passed", None),
    ],
)
def test_only_a_task_that_had_its_chance_can_fail(
    changes: dict[str, object], passed: bool | None, outcome: str, cause: str | None
) -> None:
    found = judged(VIEW.model_copy(update=changes), grade(passed))
    assert found[:2] == (outcome, cause)
    assert (found[2] is None) == (outcome != "error")
