"""Grades programs on hidden tests, with an executor that no other part of the stack can reach.

The executor is a child of the runner (same code as the stack's, another process, a socket in a private
directory, no Redis) and dies with it. It is sent programs and inputs; expected outputs stay in this process,
where `atlas.judge` compares. Nothing here logs, and a `Grade` holds no input, output or expected output.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from types import TracebackType

from pydantic import ValidationError

from atlas.checkers import Checker
from atlas.config import Isolation, Settings
from atlas.contracts import Execution, Verdict
from atlas.embedded import executor_server
from atlas.errors import InfrastructureError, StartupError
from atlas.executor import Executor, ExecutorClient
from atlas.judge import judge
from benchmark.scoring import choice, steps
from benchmark.scoring.private_directory import PrivateDirectory
from benchmark.tasks import Task

ATTEMPTS = 2
ERROR_KEPT_CHARS = 300


@dataclass(frozen=True)
class Grade:
    """What became of one program on all tests of a task, public and hidden.

    `passed` is None exactly when `error` says which machinery failed: that is no result, and must not be
    counted as a wrong answer. Grading stops at the first test that is not accepted, so `verdicts` has up to
    `tests` entries, in the tests' order. A problem of steps is graded to its end, one verdict a step, and is
    passed if every step is; a multiple choice has one verdict, on its letter.

    Attributes:
        parts: sub-problems that are graded on their own (the steps of a `steps` problem), 0 for other kinds.
        parts_passed: how many of them passed.
        seconds: wall time of all runs together.
        cpu_s: CPU time of all runs together.
        memory_mb: peak resident memory of the run that used most.
    """

    task: str
    checker: Checker
    passed: bool | None
    verdicts: tuple[Verdict, ...] = ()
    tests: int = 0
    isolation: str = ""
    seconds: float = 0.0
    error: str | None = None
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    parts: int = 0
    parts_passed: int = 0


class Grader:
    """An async context manager: `async with Grader() as grader: await grader.grade(task, code)`.

    Enter it in a thread that lives as long as the grader (the main one): Linux kills the executor when the
    thread that started it ends.

    Args:
        jobs: programs graded at once, 0 for one per core. More would slow each other down, and a program near
            the time limit would be judged by the machine's load.
        isolation: the level of the executor started here, as SANDBOX_ISOLATION.
        executor: use this one and start no child.
    """

    def __init__(
        self, *, jobs: int = 0, isolation: Isolation = "auto", executor: Executor | None = None
    ) -> None:
        self._jobs = jobs or os.cpu_count() or 1
        self._isolation = isolation
        self._turns = asyncio.Semaphore(self._jobs)
        self._starting = asyncio.Lock()
        self._executor = executor
        self._directory: PrivateDirectory | None = None
        self._server: executor_server.ExecutorServer | None = None

    async def __aenter__(self) -> Grader:
        """Start the executor and wait until it serves.

        Raises:
            StartupError: it does not come up; quotes its log.
        """
        if self._executor is None:
            self._directory = PrivateDirectory.make("atlas-grader-")
            try:
                await self._start()
            except BaseException:
                await self._close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the executor, with whatever it is running."""
        await self._close()

    @property
    def executor_pid(self) -> int | None:
        """Process id of the executor started here, if any."""
        return self._server.child.pid if self._server else None

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        """Run `code` on the task's public and hidden tests; None: the task ended without a program.

        For a multiple choice `code` is the letter, and nothing is run.

        Never raises for a program or for a failing executor: a failure of the machinery is tried once more
        (on a new executor if the old one has died), then returned as `error`.
        """
        tests, parts = len(task.grading_tests), _parts(task)
        if code is None:
            return Grade(task.id, checker, passed=False, tests=tests, parts=parts)
        if task.problem.kind == "choice":
            verdict = choice.verdict(task, code)
            return Grade(task.id, checker, verdict is Verdict.ACCEPTED, tests=tests, verdicts=(verdict,))
        if not _is_source(code):
            verdicts = (Verdict.COMPILE_ERROR,)
            return Grade(task.id, checker, passed=False, tests=tests, verdicts=verdicts, parts=parts)
        async with self._turns:
            for _ in range(ATTEMPTS):
                grade = await self._attempt(task, code, checker)
                if grade.passed is not None:
                    break
        return grade

    async def _attempt(self, task: Task, code: str, checker: Checker) -> Grade:
        tests = task.grading_tests
        try:
            executor = await self._living_executor()
            if task.problem.kind == "steps":
                execution = await steps.execute(executor, task, code)
            else:
                execution = await judge(
                    executor,
                    code=code,
                    problem=task.problem,
                    tests=tests,
                    checker=checker,
                    stop_on_failure=True,
                )
        except (InfrastructureError, StartupError) as e:
            error = f"{type(e).__name__}: {e}"
        except ValidationError as e:  # the contract refuses the request: say where, and quote nothing
            first = e.errors(include_input=False, include_url=False)[0]
            error = f"cannot be asked of an executor: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            return _grade(task, checker, execution)
        return Grade(task.id, checker, passed=None, tests=len(tests), error=error[:ERROR_KEPT_CHARS])

    async def _living_executor(self) -> Executor:
        """The executor; a new one if ours has died."""
        async with self._starting:
            if self._server is not None and not self._server.child.alive:
                await self._stop()
            if self._executor is None:
                await self._start()
            if self._executor is None:
                raise AssertionError("started without a client")
            return self._executor

    async def _start(self) -> None:
        if self._directory is None:
            raise StartupError("the grader is not running; use it inside `async with Grader()`")
        # Spawned in this thread (see the class), waited for in another.
        settings = Settings(
            data_dir=self._directory.path, sandbox_jobs=self._jobs, sandbox_isolation=self._isolation
        )
        self._server = executor_server.launch(settings, name="grader")
        await asyncio.to_thread(self._server.wait_ready)
        self._executor = ExecutorClient(self._server.url)

    async def _close(self) -> None:
        if self._directory is not None:
            await self._stop()
            self._directory.close()
            self._directory = None

    async def _stop(self) -> None:
        executor, server = self._executor, self._server
        self._executor = self._server = None
        if isinstance(executor, ExecutorClient):
            await executor.aclose()
        if server is not None:
            await asyncio.to_thread(server.stop)


def _grade(task: Task, checker: Checker, execution: Execution) -> Grade:
    verdicts = tuple(result.verdict for result in execution.results)
    tests = len(task.grading_tests)
    parts = _parts(task)
    failed = set(verdicts) - {Verdict.ACCEPTED, Verdict.INFRASTRUCTURE_ERROR}
    passed: bool | None = None
    error: str | None = None
    if failed and not (parts and Verdict.INFRASTRUCTURE_ERROR in verdicts):
        # One honest failure decides, whatever happened to other runs; but steps are counted one by one.
        passed = False
    elif Verdict.INFRASTRUCTURE_ERROR in verdicts:
        reason = next(r.error for r in execution.results if r.verdict is Verdict.INFRASTRUCTURE_ERROR)
        error = f"executor: {reason}"[:ERROR_KEPT_CHARS]
    elif len(verdicts) != tests:
        error = f"executor: {len(verdicts)} of {tests} tests were judged"
    else:
        passed = True
    return Grade(
        task=task.id,
        checker=checker,
        passed=passed,
        verdicts=verdicts,
        tests=tests,
        isolation=execution.isolation,
        seconds=execution.seconds,
        error=error,
        cpu_s=sum(result.cpu_s for result in execution.results),
        memory_mb=max((result.memory_mb for result in execution.results), default=0.0),
        parts=parts,
        parts_passed=verdicts.count(Verdict.ACCEPTED) if parts else 0,
    )


def _parts(task: Task) -> int:
    return len(task.hidden) if task.problem.kind == "steps" else 0


def _is_source(code: str) -> bool:
    """False for text that UTF-8 cannot carry (half of a surrogate pair): it cannot be a Python source."""
    try:
        code.encode()
    except UnicodeEncodeError:
        return False
    return True
