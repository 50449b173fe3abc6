"""Shared by the runner tests: four problems, a grader without a sandbox, and one run in this process.

The test files make fixtures of `hasten`, `four_problems`, `options_for` and `two_is_wrong`.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from atlas import client
from atlas.checkers import Checker
from atlas.config import Settings
from atlas.contracts import Verdict
from atlas.embedded import own_stack
from benchmark.run_store import TaskRecord
from benchmark.run_summary import RunSummary
from benchmark.scoring.grader import Grade
from benchmark.tasks import Task
from benchmark.v3_runner import Options, parse, run_benchmark
from tests.support.scripted_gateway import BROKEN, RIGHT, ScriptedGateway, ended

CANARIES = ("CANARY-IN-31337", "CANARY-OUT-73313")

INFRASTRUCTURE = {
    "the task failed of machinery": ended(None, infrastructure=True, error="llama-server is gone"),
    "cancelled": ended(None, status="cancelled"),
    "wrong, and a command failed of machinery": ended("print(2)", failures=(BROKEN,)),
    "no program, and a command failed of machinery": ended(None, failures=(BROKEN,)),
}


class FakeGrader:
    """RIGHT passes, anything else fails; `broken` gradings fail of themselves first."""

    def __init__(self, broken: int = 0, step: Callable[[], None] = lambda: None) -> None:
        self.broken, self.step, self.graded = broken, step, []

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        self.step()
        self.graded.append(task.id)
        if self.broken:
            self.broken -= 1
            return Grade(task.id, checker, passed=None, error="no executor")
        verdict = Verdict.ACCEPTED if code == RIGHT else Verdict.WRONG_ANSWER
        self.step()
        return Grade(task.id, checker, passed=code == RIGHT, verdicts=(verdict,), tests=3, isolation="fake")


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_FIRST_S", 0.001)
    monkeypatch.setattr(client, "PATIENCE_S", 0.2)
    monkeypatch.setattr(own_stack, "POLL_S", 0.01)


def four_problems(tmp_path: Path) -> Path:
    """Four problems with canaries in their hidden tests."""
    rows = [
        {
            "question_id": name,
            "platform": "test",
            "question_title": name,
            "question_content": f"Print what {name} says.",
            "starter_code": "",
            "difficulty": "easy",
            "contest_date": "2026-01-01T00:00:00",
            "public_test_cases": json.dumps([{"input": "PUBLIC-IN", "output": "1", "testtype": "stdin"}]),
            "private_test_cases": json.dumps(
                [{"input": CANARIES[0], "output": CANARIES[1], "testtype": "stdin"}]
            ),
            "metadata": "{}",
        }
        for name in ("one", "two", "three", "four")
    ]
    path = tmp_path / "four.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def first(options: Options, n: int) -> Options:
    """The same, of the first n tasks."""
    return replace(options, selection=options.selection.model_copy(update={"limit": n}))


def options_for(dataset: Path, tmp_path: Path) -> Options:
    arguments = ["--dataset", str(dataset), "--run-id", "r1", "--target", "http://gateway"]
    return parse([*arguments, "--runs-dir", str(tmp_path / "runs")])


def two_is_wrong() -> ScriptedGateway:
    return ScriptedGateway(script={"two": [ended("print(2)")]})


def run(
    options: Options,
    scripted: ScriptedGateway,
    grader: FakeGrader | None = None,
    log: io.StringIO | None = None,
) -> RunSummary:
    console = Console(file=log or io.StringIO(), width=200)
    return asyncio.run(
        run_benchmark(
            options, Settings(), console, transport=scripted.transport(), grader=grader or FakeGrader()
        )
    )


def stored(options: Options, name: str) -> TaskRecord:
    assert options.runs_dir
    path = options.runs_dir / options.run_id / "tasks" / f"{name}.json"
    return TaskRecord.model_validate_json(path.read_bytes())
