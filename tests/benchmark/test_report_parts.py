"""What the tokens of a condition went to: every call is in one part, and parts that make nothing show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.policy import POLICIES
from atlas.state import TaskState, fold
from benchmark.report.gather import gather
from benchmark.report.parts import Part, part_rows, spent
from benchmark.results import load_journal, load_runs
from tests.benchmark.report_runs import make_run


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = POLICIES["B"].model_copy(update={"k": 4, "plans": 2, "repairs": 1})
    return make_run(tmp_path_factory.mktemp("parts") / "B", policy, 24, errors=(3,))


def states(directory: Path) -> list[TaskState]:
    (run,) = load_runs([directory])
    return [fold(TaskState(), load_journal(each)) for each in run.tasks if each.journal]


def test_every_token_is_in_one_part_and_every_submission_too(directory: Path) -> None:
    report = gather(load_runs([directory]))
    (row,) = report.conditions
    assert {each.condition for each in report.parts} == {row.label}
    assert sum(each.tokens for each in report.parts) == row.tokens_out
    assert sum(each.submitted for each in report.parts) == row.n
    assert sum(each.solved for each in report.parts) == row.passed
    by_part = {each.part: each for each in report.parts}
    assert list(by_part) == ["plain", "plan", "repair"]
    plans = by_part["plan"]
    assert plans.tokens > 23 * 160
    assert plans.calls > 23  # one for the plans of each task, one for each sample that follows one


@pytest.mark.parametrize(
    ("command", "changes", "part"),
    [
        ("generate:0", {"temperature": 0.0}, "greedy"),
        ("generate:1", {}, "plain"),
        ("plans", {}, "plan"),
        ("repair:0", {}, "repair"),
        ("refine:0", {}, "repair"),
        ("brute_force:1", {}, "brute_force"),
        ("inputs:0", {}, "comparing"),
    ],
)
def test_a_call_without_a_candidate_counts_for_what_it_was_made_for(
    directory: Path, command: str, changes: dict[str, float], part: Part
) -> None:
    state = states(directory)[0]
    (call, *_) = state.calls.values()
    lone = call.model_copy(update={"command": command, "sampling": call.sampling.model_copy(update=changes)})
    told = spent(TaskState(calls={lone.call: lone}), None)
    assert (dict(told.calls), told.submitted) == ({part: 1}, None)
    (row,) = part_rows("X", [(told, False)])
    assert (row.calls, row.tokens, row.submitted, row.solved) == (1, lone.choices[0].usage.tokens_out, 0, 0)


def test_samples_are_told_apart_by_how_they_were_asked_for(directory: Path) -> None:
    state = next(each for each in states(directory) if "c3" in each.candidates)
    plain = state.candidates["c3"]
    greedy = plain.model_copy(update={"sampling": plain.sampling.model_copy(update={"temperature": 0.0})})
    perturbed = plain.model_copy(update={"perturbation": "teacher"})

    def of(candidate: object) -> Part | None:
        return spent(TaskState(candidates={"c3": candidate}), "c3").submitted  # type: ignore[dict-item]

    assert [of(plain), of(greedy), of(perturbed)] == ["plain", "greedy", "perturbed"]
    assert of(state.candidates["c0"]) == "plan"
