"""Grading letters and steps: the harness in this process, and whole gradings on a real executor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import sympy

from atlas.contracts import LETTERS, Example, Problem, Verdict
from atlas.errors import BadInput
from atlas.events import Pins, TaskDecided, TaskSubmitted
from atlas.executor import ExecuteRequest, ExecuteResponse, Run, RunStatus
from atlas.llama_fake import FakeModelServer
from atlas.policy import POLICIES
from benchmark.datasets import load
from benchmark.datasets.scicode import open_part
from benchmark.datasets.source import Request
from benchmark.scoring.grader import Grader
from benchmark.scoring.steps_harness import comparisons, verdict
from benchmark.tasks import HiddenTests, Task
from tests.support.in_memory import solve
from tests.support.planning import plan_answer
from tests.support.scicode_files import HALF, SOLUTION, SPLIT, problem, write

OLD = "from scipy.integrate import simps\nimport numpy as np\nassert np.trapz([2, 2]) == simps([2, 2])\n"
ACCEPTED, WRONG, RUNTIME = Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR


def steps_task(directory: Path, **fields: object) -> Task:
    path = write(directory, [problem(**fields)])
    (task,) = open_part(Request(path, directory)).decode({"scicode/10"})
    return task


def asked(task: Task, step: int, code: str) -> dict[str, Any]:
    return {"token": "t", "program": code, **json.loads(task.hidden.tests[step].input)}


# ---------------------------------------------------------------- the harness


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (SOLUTION, ["passed", "passed"]),
        (SOLUTION.replace("x / 2", "x / 3"), ["wrong", "wrong"]),
        (SOLUTION.replace("x - half(x)", "0"), ["passed", "wrong"]),
        (f"{HALF}\n{SPLIT}", ["passed", "passed"]),
    ],
)
def test_steps_are_judged_one_by_one(tmp_path: Path, code: str, said: list[str]) -> None:
    task = steps_task(tmp_path)
    assert [verdict(asked(task, step, code)) for step in (0, 1)] == said


@pytest.mark.parametrize(
    "missing",
    [
        {"setup": "import no_such_package"},
        {"imports": ["from scipy.special import no_such_function"]},
        {"given": "raise ValueError"},
        {"targets": [{"array": ["<f8", [1], "broken"]}] * 2},
    ],
)
def test_what_the_data_needs_and_is_not_there_is_no_wrong_answer(
    tmp_path: Path, missing: dict[str, object]
) -> None:
    document = asked(steps_task(tmp_path), 0, SOLUTION) | missing
    assert verdict(document).startswith("unable ")


def test_what_the_program_needs_and_is_not_there_is_its_own_fault(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        verdict(asked(steps_task(tmp_path), 0, "import no_such_package\n" + SOLUTION))


def test_comparisons_are_close_and_shapes_count() -> None:
    compare = vars(comparisons()["scicode.compare.cmp"])
    sequence, close = compare["cmp_tuple_or_list"], compare["are_dicts_close"]
    assert sequence((1.0, np.ones(2)), (1.0 + 1e-9, np.ones(2)))
    assert not sequence((1.0, 2.0), (1.0,))
    assert not sequence((True,), (False,))
    assert not sequence(({"a": 1.0},), ({"a": 1.1},))
    assert close({"a": "x", 1.0: np.ones(2)}, {"a": "x", 1.0: np.ones(2)})
    assert not close({"a": 1}, {"b": 1})
    assert close({sympy.Symbol("a"): sympy.Symbol("b")}, {"a": "b"})


# ---------------------------------------------------------------- from a file to a grade


async def solved(task: Task, answer: str) -> str | None:
    """What the solving stack hands back for a task, by a model that always says the same."""
    pins = Pins(pipeline="1", prompts_sha256="0" * 64, model="fake")
    submitted = TaskSubmitted(problem=task.problem, policy=POLICIES["full"], pins=pins, deadline_s=600)
    model = FakeModelServer(
        lambda request: (
            plan_answer(request.json_schema, request.prompt, ("one", "two"))
            if request.json_schema
            else answer
        )
    )
    state, events = await solve(submitted, model, Absent())
    assert isinstance(state.closed, TaskDecided)
    seen = "".join(event.model_dump_json() for event in events) + "".join(r.prompt for r in model.requests)
    assert "SECRET" not in seen
    assert not any(test.input and test.input in seen for test in task.hidden.tests)
    return state.candidates[state.closed.candidate].code


async def test_a_question_from_its_file_to_its_grade(tmp_path: Path) -> None:
    columns = {
        "Question": "Which?",
        "Correct Answer": "this",
        **{f"Incorrect Answer {n}": f"{n}" for n in (1, 2, 3)},
    }
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(columns), encoding="utf-8")
    with pytest.raises(BadInput, match=r"say which, as NAME=.*gpqa_part"):
        load(path)
    (task,) = load(f"gpqa_part={path}")
    right = LETTERS[task.problem.choices.index("this")]
    other = LETTERS[task.problem.choices.index("2")]
    async with Grader(executor=Absent()) as grader:
        passed = [
            (await grader.grade(task, await solved(task, f"I see.\nAnswer: {said}"))).passed
            for said in (right, other)
        ]
    assert passed == [True, False]


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_steps_from_their_files_to_their_grade(tmp_path: Path, grader: Grader) -> None:
    path = write(tmp_path)
    with pytest.raises(BadInput, match=r"say which, as NAME=.*scicode_part"):
        load(path)
    (task,) = load(f"scicode_part={path}")
    answer = f"First this:\n```python\nimport numpy as np\n{HALF}```\nThen that:\n```python\n{SPLIT}```\n"
    grade = await grader.grade(task, await solved(task, answer))
    assert (grade.passed, grade.parts_passed, grade.parts) == (True, 2, 2)


# ---------------------------------------------------------------- whole gradings


def letter_task() -> Task:
    question = Problem(statement="Which?", kind="choice", choices=("one", "two", "three"))
    hidden = HiddenTests((Example(input="", output="C"),))
    return Task("q", "", "", "", None, question, hidden)


@pytest.mark.parametrize(
    ("handed_in", "passed"), [("C", True), ("B", False), ("three", False), (None, False)]
)
async def test_a_letter_is_right_or_wrong_and_nothing_is_run(handed_in: str | None, passed: bool) -> None:
    async with Grader(executor=Absent()) as grader:
        grade = await grader.grade(letter_task(), handed_in)
    assert (grade.passed, grade.tests, grade.parts) == (passed, 1, 0)
    assert grade.verdicts == (() if handed_in is None else (ACCEPTED if passed else WRONG,))


class Absent:
    """An executor where every run fails on the machine's side."""

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        run = Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="gone")
        return ExecuteResponse(runs=(run,) * len(request.inputs), isolation="fake")


async def test_a_step_that_could_not_be_run_leaves_no_grade(tmp_path: Path) -> None:
    async with Grader(executor=Absent()) as grader:
        grade = await grader.grade(steps_task(tmp_path), SOLUTION)
    assert (grade.passed, grade.error, grade.parts) == (None, "executor: gone", 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grader() -> AsyncIterator[Grader]:
    async with Grader(jobs=1) as started:
        yield started


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("code", "verdicts"),
    [
        (SOLUTION, (ACCEPTED, ACCEPTED)),
        (SOLUTION.replace("x - half(x)", "0"), (ACCEPTED, WRONG)),
        (HALF, (ACCEPTED, RUNTIME)),
        (f"from scipy.special import erfc\nimport sympy\n{SOLUTION}print('passed')\n", (ACCEPTED, ACCEPTED)),
        (f"{OLD}{SOLUTION}", (ACCEPTED, ACCEPTED)),
        (f"{SOLUTION}import sys\nprint('passed')\nsys.exit(0)\n", (WRONG, WRONG)),
        (f"{SOLUTION}input()\n", (RUNTIME, RUNTIME)),
        ("def half(x:\n", (RUNTIME, RUNTIME)),
    ],
)
async def test_programs_on_a_real_executor(
    tmp_path: Path, grader: Grader, code: str, verdicts: tuple[Verdict, ...]
) -> None:
    grade = await grader.grade(steps_task(tmp_path), code)
    assert (grade.verdicts, grade.error) == (verdicts, None)
    assert (grade.passed, grade.parts) == (set(verdicts) == {ACCEPTED}, 2)
    assert grade.parts_passed == verdicts.count(ACCEPTED)


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_a_package_the_data_needs_is_named_and_no_wrong_answer(tmp_path: Path, grader: Grader) -> None:
    task = steps_task(tmp_path, required_dependencies="import numpy as np\nimport no_such_package")
    grade = await grader.grade(task, SOLUTION)
    assert grade.passed is None
    assert grade.error == "executor: ModuleNotFoundError: No module named 'no_such_package'"
