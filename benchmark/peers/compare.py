"""Every task with every system, one after another, graded here, into a `PeerStore`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from atlas.client import GatewayUnreachable
from atlas.contracts import MAX_CODE_CHARS, Usage
from atlas.embedded.own_stack import Stack
from atlas.errors import InfrastructureError
from benchmark.peers.store import PeerRecord, PeerStore
from benchmark.peers.systems import Answer, System
from benchmark.run_store import GradeSummary, Outcome
from benchmark.solve import Grades
from benchmark.tasks import Task


class Progress(Protocol):
    """Who is told of records as they come."""

    def done(self, record: PeerRecord) -> None:
        """Hear of one."""


async def compare(
    tasks: Sequence[Task],
    systems: Sequence[System],
    store: PeerStore,
    grader: Grades,
    stack: Stack,
    progress: Progress,
) -> None:
    """Fill the store: a result, or an `error`, for every task with every system.

    One at a time, because seconds are compared too. Task by task, so that what there is so far is paired; and
    each task begins with another system, since whoever comes first finds nothing of the prompt in the cache.

    Raises:
        AtlasError: it cannot go on; what is done is kept.
    """
    working = asyncio.ensure_future(_all(tasks, systems, store, grader, progress))
    watcher = asyncio.ensure_future(stack.ended())
    try:
        await asyncio.wait({working, watcher}, return_when=asyncio.FIRST_COMPLETED)
        await (working if working.done() else watcher)
    finally:
        for each in (working, watcher):
            each.cancel()
        await asyncio.gather(working, watcher, return_exceptions=True)


async def _all(
    tasks: Sequence[Task], systems: Sequence[System], store: PeerStore, grader: Grades, progress: Progress
) -> None:
    for number, task in enumerate(tasks):
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            attempt = store.attempt(system.name, task.id)
            if attempt is None:
                continue
            record = await _one(task, system, attempt, store, grader)
            store.save(record)
            progress.done(record)


async def _one(task: Task, system: System, attempt: int, store: PeerStore, grader: Grades) -> PeerRecord:
    started = time.time()

    def record(outcome: Outcome, answer: Answer, note: str, grade: GradeSummary | None = None) -> PeerRecord:
        return PeerRecord(
            system=system.name,
            task=task.id,
            outcome=outcome,
            attempt=attempt,
            usage=answer.usage,
            seconds=round(answer.seconds, 3),
            program=answer.program,
            note=note,
            budget_spent=answer.budget_spent,
            grade=grade,
            calls=answer.calls,
            journal=answer.journal,
            started_at=started,
            finished_at=time.time(),
        )

    try:
        answer = await system.answer(task, attempt)
    except GatewayUnreachable:
        raise  # the task goes on there, and a resume finds it
    except InfrastructureError as error:
        return record("error", Answer(program=None, usage=Usage(), seconds=0.0), str(error))
    code, note = answer.program, answer.note
    if code is not None and len(code) > MAX_CODE_CHARS:
        code, note = None, f"the program is longer than {MAX_CODE_CHARS} characters"
    graded = await grader.grade(task, code, store.file.comparison.grader)
    grade = GradeSummary(
        checker=graded.checker,
        passed=graded.passed,
        tests=graded.tests,
        verdicts=graded.verdicts,
        isolation=graded.isolation,
        seconds=graded.seconds,
        cpu_s=graded.cpu_s,
        memory_mb=graded.memory_mb,
        note=graded.error or "",
    )
    if graded.passed is None:
        return record("error", answer, graded.error or "not graded", grade)
    if not graded.passed and answer.broken is not None:
        return record("error", answer, answer.broken, grade)
    return record("passed" if graded.passed else "failed", answer, note, grade)
