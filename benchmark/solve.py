"""One task of a run, from its problem to its record: submit, wait, grade, keep the journal.

Every step can be repeated after a kill: the submission finds its task again by its idempotency key, and the
record, written last, is what makes the task done. Only a `Problem` is ever sent.
"""

from __future__ import annotations

import hashlib
import time
from typing import Protocol
from urllib.parse import quote

from atlas.api import SubmitRequest, TaskView
from atlas.checkers import Checker
from atlas.client import Gateway, GatewayRefused
from atlas.contracts import MAX_CODE_CHARS
from atlas.errors import Conflict
from atlas.policy import Policy
from benchmark.run_store import Cause, EarlierAttempt, GradeSummary, Outcome, RunStore, TaskMeta, TaskRecord
from benchmark.scoring.grader import Grade
from benchmark.tasks import Task

KEY_CHARS = 200  # what the gateway takes as Idempotency-Key


class Grades(Protocol):
    """What this needs of a grader."""

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        """Run `code` (None: no program) on all tests of the task."""


class Solver:
    """Has tasks solved by the stack and graded here."""

    def __init__(self, gateway: Gateway, grader: Grades, store: RunStore, policy: Policy) -> None:
        self._gateway = gateway
        self._grader = grader
        self._store = store
        self._policy = policy

    async def solve(self, task: Task) -> TaskRecord:
        """Return the task's record, once it is on disk.

        Raises:
            Conflict: the stack is not the one this run began on, or the key belongs to another submission.
            GatewayUnreachable: nothing is recorded: the task goes on there, and a resume finds it.
        """
        record = await self._attempt(task, self._store.records.get(task.id))
        self._store.save(record)
        return record

    async def _attempt(self, task: Task, earlier: TaskRecord | None) -> TaskRecord:
        attempt = earlier.next_attempt if earlier else 1
        started = time.time()

        def record(outcome: Outcome, **more: object) -> TaskRecord:
            return TaskRecord.model_validate(
                {
                    "task": task.id,
                    "meta": _meta(task),
                    "outcome": outcome,
                    "attempt": attempt,
                    "started_at": started,
                    "finished_at": time.time(),
                    "earlier": _attempts(earlier, attempt) if earlier else (),
                    **more,
                }
            )

        view: TaskView | None = None
        try:
            request = SubmitRequest(problem=task.problem, policy=self._policy)
            name = key(self._store.run_id, task.id, self._policy.seed, attempt)
            view, new = await self._gateway.submit(request, name)
            try:
                self._store.bind_pins(await self._gateway.pins(view.id))
            except Conflict as error:
                if new:
                    await self._gateway.cancel(view.id)
                # Recorded, so that a resume on the right stack makes a new task.
                self._store.save(record("error", cause="task", error=str(error)))
                raise
            view = await self._gateway.wait(view.id)
            grade = await self._grade(task, view)
            view = await self._gateway.get(view.id)  # again: tokens of calls that ended late are in it now
            journal = self._store.save_journal(task.id, await self._gateway.journal(view.id))
        except GatewayRefused as error:
            return record("error", cause="gateway", error=str(error), view=view)
        outcome, cause, reason = judged(view, grade)
        return record(
            outcome, cause=cause, error=reason, grade=grade, view=view, journal=journal, watched=new
        )

    async def _grade(self, task: Task, view: TaskView) -> GradeSummary | None:
        """Grade the one program; None where the machinery ended the task."""
        if view.status == "cancelled" or view.infrastructure:
            return None
        code, note = view.program, "" if view.program is not None else "no program"
        if view.status == "abstained" and view.error:
            note = view.error
        if code is not None and len(code) > MAX_CODE_CHARS:
            code, note = None, f"the program is longer than {MAX_CODE_CHARS} characters"
        grade = await self._grader.grade(task, code, self._store.configuration.grader)
        return summary_of(grade, note)


def _meta(task: Task) -> TaskMeta:
    date = task.date.isoformat() if task.date else ""
    return TaskMeta(platform=task.platform, difficulty=task.difficulty, date=date)


def summary_of(grade: Grade, note: str = "") -> GradeSummary:
    """Return what is kept of a grade; `note` where the machinery has no error to tell."""
    return GradeSummary(
        checker=grade.checker,
        passed=grade.passed,
        tests=grade.tests,
        verdicts=grade.verdicts,
        isolation=grade.isolation,
        seconds=grade.seconds,
        cpu_s=grade.cpu_s,
        memory_mb=grade.memory_mb,
        parts=grade.parts,
        parts_passed=grade.parts_passed,
        note=grade.error or note,
    )


def judged(view: TaskView, grade: GradeSummary | None) -> tuple[Outcome, Cause | None, str | None]:
    """Return a task's outcome and, for an `error`, its cause and reason.

    A failure of the machinery on the way is held against the machinery only if the program is not right: a
    program that passes is a result however it came about.
    """
    if view.status == "cancelled":
        return "error", "task", "the task was cancelled"
    if view.infrastructure:
        return "error", "task", view.error or "infrastructure failure"
    if grade is None or grade.passed is None:
        return "error", "grader", grade.note if grade else "not graded"
    if grade.passed:
        return "passed", None, None
    if view.deadline_missed:
        return "error", "task", "the services were down at the task's deadline"
    broken = [failure for failure in view.failures if failure.infrastructure]
    if broken:
        return "error", "task", f"{broken[0].command} failed: {broken[0].reason}: {broken[0].detail}"
    return "failed", None, None


def key(run_id: str, task: str, seed: int, attempt: int) -> str:
    """Return the idempotency key of an attempt: run/question/seed, and the attempt from the second on."""
    suffix = f"/{seed}" + (f"/{attempt}" if attempt > 1 else "")
    whole = f"{run_id}/{quote(task, safe='')}{suffix}"
    if len(whole) <= KEY_CHARS:
        return whole
    return f"{run_id}/sha256-{hashlib.sha256(task.encode()).hexdigest()[:32]}{suffix}"


def _attempts(earlier: TaskRecord, attempt: int) -> tuple[EarlierAttempt, ...]:
    """Return the attempts before `attempt`; grading once more is not another attempt."""
    if attempt == earlier.attempt:
        return earlier.earlier
    usage = {"usage": earlier.view.usage} if earlier.view else {}
    return (*earlier.earlier, EarlierAttempt(attempt=earlier.attempt, error=earlier.error or "", **usage))
