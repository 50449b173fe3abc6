"""The bundled tasks: every reference passes all tests, every wrong program fails, slow ones are too slow."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atlas.contracts import Example
from benchmark.datasets import load
from benchmark.datasets.bundled import build
from benchmark.datasets.bundled.specs import SPECS
from benchmark.tasks import Task

pytestmark = pytest.mark.integration  # real executors and their children

TASKS = {task.id: task for task in load("bundled")}
SLOW = sorted(p.name.split(".")[0] for p in build.SOLUTIONS.glob("*.slow.py"))


def accepted(source: Path, task: Task, test: Example) -> bool:
    """One of our own programs on one test, outside any sandbox, compared token by token."""
    try:
        out = build.run_program(
            source, task.problem.entry_point, test.input, time_s=task.problem.limits.time_s
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return out.split() == test.output.split()


def too_slow(source: Path, task: Task, test: Example) -> bool:
    """Not merely failing: the program is still at work when its time is over."""
    try:
        build.run_program(source, task.problem.entry_point, test.input, time_s=task.problem.limits.time_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def all_accepted(source: Path, task: Task) -> bool:
    return all(accepted(source, task, test) for test in task.grading_tests)


def test_tasks_jsonl_is_what_build_writes() -> None:
    assert build.main(["--check"]) == 0


def test_check_fails_when_the_file_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "build", lambda: "other\n")
    assert build.main(["--check"]) == 1


@pytest.mark.parametrize("task_id", TASKS)
def test_reference_passes_and_wrong_program_fails(task_id: str) -> None:
    task = TASKS[task_id]
    assert all_accepted(build.SOLUTIONS / f"{task_id}.py", task)
    assert not all_accepted(build.SOLUTIONS / f"{task_id}.wrong.py", task)


def test_slow_programs_pass_small_tests_and_are_too_slow_on_the_largest() -> None:
    """Each takes its whole time limit, so a few run side by side: all at once, any program would be slow."""
    assert {i for i, t in TASKS.items() if t.difficulty == "hard"} <= set(SLOW)

    def verdicts(task_id: str) -> tuple[bool, bool]:
        task, source = TASKS[task_id], build.SOLUTIONS / f"{task_id}.slow.py"
        largest = max(task.hidden.tests, key=lambda test: len(test.input))
        return all(accepted(source, task, t) for t in task.problem.examples), too_slow(source, task, largest)

    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        assert dict(zip(SLOW, pool.map(verdicts, SLOW), strict=True)) == dict.fromkeys(SLOW, (True, True))


def test_mix() -> None:
    tasks = list(TASKS.values())
    kinds = [t.problem.kind for t in tasks]
    assert (kinds.count("stdin"), kinds.count("function")) == (17, 13)
    levels = [t.difficulty for t in tasks]
    order = ["easy", "medium", "hard"]
    assert [levels.count(d) for d in order] == [11, 11, 8]
    assert levels[14:] == sorted(levels[14:], key=order.index)
    assert sorted(levels[:8]) == ["easy"] * 5 + ["medium"] * 3
    assert {"stdin", "function"} == set(kinds[:8])


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_tests_are_enough_and_distinct(task: Task) -> None:
    assert len(task.hidden) >= 10
    assert 2 <= len(task.problem.examples) <= 3
    assert len({t.input for t in task.grading_tests}) == len(task.grading_tests)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_statement_prints_the_public_examples_and_no_large_hidden_input(task: Task) -> None:
    for example in task.problem.examples:
        for line in (*example.input.split("\n"), *example.output.split("\n")):
            assert line in task.problem.statement
    for hidden in task.hidden.tests:
        assert len(hidden.input) < 30 or hidden.input not in task.problem.statement


def test_functional_inputs_have_one_json_value_per_argument() -> None:
    for spec in SPECS:
        if spec.starter:
            _, arguments = build.signature(spec.starter)
            for test in TASKS[spec.id].grading_tests:
                assert len([json.loads(line) for line in test.input.split("\n")]) == len(arguments)
