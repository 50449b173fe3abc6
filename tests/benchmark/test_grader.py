"""The grader: right, wrong and broken programs on a real executor; broken machinery on a fake one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import get_args

import psutil
import pytest
import pytest_asyncio

from atlas.config import Isolation
from atlas.contracts import Example, Problem, Verdict
from atlas.errors import ExecutorError, StartupError
from atlas.executor import MAX_PROGRAM_CHARS, ExecuteRequest, ExecuteResponse, Run, RunStatus
from benchmark.datasets import load
from benchmark.datasets.bundled import build
from benchmark.scoring.grader import Grader
from benchmark.tasks import HiddenTests, Task
from services.sandbox.isolation import is_gvisor

pytestmark = pytest.mark.integration  # real executors and their children

SECRET = "4242424242"


def make_task(**problem: object) -> Task:
    return Task(
        id="double",
        title="Double",
        platform="test",
        difficulty="easy",
        date=None,
        problem=Problem.model_validate(
            {"statement": "Print twice the number.", "examples": [Example(input="1\n", output="2\n")]}
            | problem
        ),
        hidden=HiddenTests((Example(input="2121212121\n", output=SECRET), Example(input="0\n", output="0"))),
    )


class FakeExecutor:
    """Answers each request with what `answer` says for it; counts the requests."""

    def __init__(self, answer: Callable[[int, str], Run]) -> None:
        self.answer, self.requests = answer, 0

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        self.requests += 1
        runs = tuple(self.answer(self.requests, i) for i in request.inputs)
        return ExecuteResponse(runs=runs, isolation="fake")


def right(text: str) -> Run:
    return Run(status=RunStatus.OK, output=str(2 * int(text)))


BROKEN = Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="fork: no memory")

# ---------------------------------------------------------------- a fake executor


async def test_right_program() -> None:
    async with Grader(executor=FakeExecutor(lambda _, i: right(i))) as grader:
        grade = await grader.grade(make_task(), "code")
    assert grade.passed is True
    assert grade.verdicts == (Verdict.ACCEPTED,) * 3
    assert (grade.tests, grade.isolation, grade.error) == (3, "fake", None)


async def test_a_program_that_knows_only_the_public_test_fails() -> None:
    async with Grader(executor=FakeExecutor(lambda *_: Run(status=RunStatus.OK, output="2"))) as grader:
        grade = await grader.grade(make_task(), "print(2)")
    assert grade.passed is False
    assert grade.verdicts == (Verdict.ACCEPTED, Verdict.WRONG_ANSWER)
    assert SECRET not in repr(grade)
    assert "2121212121" not in repr(grade)


async def test_machinery_that_fails_twice_is_no_result() -> None:
    fake = FakeExecutor(lambda _, i: BROKEN if i.startswith("2") else right(i))
    async with Grader(executor=fake) as grader:
        grade = await grader.grade(make_task(), "code")
    assert grade.passed is None
    assert grade.error == "executor: fork: no memory"
    assert fake.requests == 2


async def test_machinery_that_fails_once_is_asked_again() -> None:
    async with Grader(executor=FakeExecutor(lambda n, i: BROKEN if n == 1 else right(i))) as grader:
        grade = await grader.grade(make_task(), "code")
    assert (grade.passed, grade.error) == (True, None)


async def test_an_executor_that_refuses_is_no_result() -> None:
    def refuse(_: int, __: str) -> Run:
        raise ExecutorError("HTTP 503: shutting down")

    async with Grader(executor=FakeExecutor(refuse)) as grader:
        grade = await grader.grade(make_task(), "code")
    assert grade.passed is None
    assert grade.error == "ExecutorError: HTTP 503: shutting down"


async def test_no_program_and_no_source_fail_without_a_run() -> None:
    fake = FakeExecutor(lambda _, i: right(i))
    async with Grader(executor=fake) as grader:
        assert (await grader.grade(make_task(), None)).passed is False
        assert (await grader.grade(make_task(), "'\ud800'")).verdicts == (Verdict.COMPILE_ERROR,)
    assert fake.requests == 0


async def test_a_program_the_contract_refuses_is_no_result_and_not_quoted() -> None:
    async with Grader(executor=FakeExecutor(lambda _, i: right(i))) as grader:
        grade = await grader.grade(make_task(), "#" * (MAX_PROGRAM_CHARS + 1))
    assert grade.passed is None
    assert grade.error is not None
    assert "code" in grade.error
    assert "###" not in grade.error


async def test_no_more_at_once_than_jobs() -> None:
    running = most = 0

    class Slow(FakeExecutor):
        async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return await super().execute(request)

    async with Grader(jobs=2, executor=Slow(lambda _, i: right(i))) as grader:
        await asyncio.gather(*(grader.grade(make_task(), "code") for _ in range(6)))
    assert most == 2


# ---------------------------------------------------------------- the real one


@pytest_asyncio.fixture
async def grader() -> AsyncIterator[Grader]:
    async with Grader() as started:
        yield started


PROGRAMS = {
    "print(2 * int(input()))": Verdict.ACCEPTED,
    "print(2)": Verdict.WRONG_ANSWER,
    "": Verdict.WRONG_ANSWER,
    "print(": Verdict.COMPILE_ERROR,
    "1 / 0": Verdict.RUNTIME_ERROR,
    "while True: pass": Verdict.TIME_LIMIT,
    "x = [0] * 10**9": Verdict.MEMORY_LIMIT,
}


async def test_programs(grader: Grader) -> None:
    task = make_task(limits={"time_s": 1})
    grades = dict(
        zip(PROGRAMS, await asyncio.gather(*(grader.grade(task, p) for p in PROGRAMS)), strict=True)
    )
    assert {p: g.verdicts[-1] for p, g in grades.items()} == PROGRAMS
    for grade in grades.values():
        assert grade.passed is (grade.verdicts[-1] is Verdict.ACCEPTED)
        assert grade.error is None
        assert grade.isolation in get_args(Isolation)
    endless = grades["while True: pass"]
    assert 1 <= endless.cpu_s <= endless.seconds
    assert grades["print(2)"].memory_mb > 1


async def test_bundled_references_and_wrong_programs(grader: Grader) -> None:
    tasks = load("bundled")

    def code(task: Task, suffix: str) -> str:
        return (build.SOLUTIONS / f"{task.id}{suffix}").read_text()

    good = await asyncio.gather(*(grader.grade(t, code(t, ".py")) for t in tasks))
    assert {g.task: (g.passed, g.error) for g in good} == {t.id: (True, None) for t in tasks}
    assert [len(g.verdicts) for g in good] == [len(t.grading_tests) for t in tasks]
    bad = await asyncio.gather(*(grader.grade(t, code(t, ".wrong.py")) for t in tasks))
    assert {g.task: (g.passed, g.error) for g in bad} == {t.id: (False, None) for t in tasks}
    strict = await asyncio.gather(*(grader.grade(t, code(t, ".py"), "strict") for t in tasks[:2]))
    assert all(g.passed for g in strict)


async def test_a_killed_executor_is_replaced(grader: Grader) -> None:
    first = grader.executor_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    grades = await asyncio.gather(*(grader.grade(make_task(), "print(2 * int(input()))") for _ in range(4)))
    assert [g.passed for g in grades] == [True] * 4
    assert grader.executor_pid != first


async def test_the_executor_ends_with_the_grader() -> None:
    async with Grader() as grader:
        pid = grader.executor_pid
        assert pid is not None
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    with pytest.raises(StartupError):
        await grader._start()


async def test_the_wanted_isolation_or_none() -> None:
    async with Grader(isolation="pod") as grader:
        assert (await grader.grade(make_task(), "print(2)")).isolation == "pod"
    if not is_gvisor():
        with pytest.raises(StartupError, match="not gVisor"):
            await Grader(isolation="gvisor").__aenter__()


_RUNNER = """
import asyncio, sys
from benchmark.scoring.grader import Grader
async def main():
    async with Grader() as grader:
        print(grader.executor_pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_executor_dies_with_a_killed_runner_and_the_next_one_clears_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _RUNNER], stdout=subprocess.PIPE, text=True, env=env
    ) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        assert psutil.Process(pid).is_running()
        runner.kill()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (left,) = tmp_path.glob("atlas-grader-*")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def seen_by_the_next() -> list[Path]:
        async with Grader():
            return list(tmp_path.glob("atlas-grader-*"))  # noqa: ASYNC240 - nothing else runs here

    assert left not in asyncio.run(seen_by_the_next())
    assert list(tmp_path.glob("atlas-grader-*")) == []
