"""A run played again under a policy: the real stack, with a record in place of its model and its executor.

    stack (of its own) ──▶ recorded model server ──▶ journals, sample pools
                      └──▶ recorded executor ──────▶ journals ──▶ live executor, where it is allowed

The stack does not know: planner, sandbox, repair and lens decide as they did. A task is answered if every
call it made is in the record; a rate over answered tasks alone would be a rate over the easy ones (they need
fewer calls), so there is none unless all are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console

from atlas.api import SubmitRequest, TaskView
from atlas.config import Settings
from atlas.contracts import Contract
from atlas.embedded.own_stack import Stack, private
from atlas.events import Pins
from atlas.policy import Policy
from benchmark.grades import Program
from benchmark.recorded.completions import sha256
from benchmark.recorded.executor_app import Runs, executor_app
from benchmark.recorded.material import Material, Subject
from benchmark.recorded.model_app import Counts, frozen
from benchmark.recorded.own_executor import own_executor
from benchmark.recorded.serving import served
from benchmark.results import program_sha256
from benchmark.run_store import differences
from benchmark.scoring.private_directory import PrivateDirectory
from benchmark.solve import Grades
from benchmark.tasks import Task

GradedBy = Literal["record", "grader"]
NO_JOURNAL = "the run kept no journal of it"


class Replayed(Contract):
    """A task's replay.

    `missing` says which call was not in the record, None for an answered task. `program_sha256` is the
    decision, None where the task ended without a program; `same`: it is the run's own. `passed` is None where
    nothing tells. Tokens are those that the policy would have spent, as first drawn.
    """

    task: str
    answered: bool
    missing: str | None = None
    program_sha256: str | None = None
    same: bool = False
    passed: bool | None = None
    graded_by: GradedBy | None = None
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass
class Bench:
    """The stack under replay, and what its record has done so far."""

    stack: Stack
    calls: Counts
    runs: Runs
    pins: Pins | None = None


@asynccontextmanager
async def bench(
    material: Material, console: Console, *, execute: bool, settings: Settings
) -> AsyncIterator[Bench]:
    """Start a stack on the record; `execute`: programs whose runs are not known may be run.

    Enter it in the main thread: its children die with the thread that started them. Of the settings only the
    sandbox's are used.

    Raises:
        StartupError: a part does not start.
        InfrastructureError: the model's chat template cannot be rendered here.
    """
    calls, runs, facts = Counts(), Runs(), material.facts
    async with AsyncExitStack() as held:
        directory = PrivateDirectory.make("atlas-replay-")
        held.callback(directory.close)
        live = (
            await held.enter_async_context(own_executor(settings, directory.path, "replay"))
            if execute
            else None
        )
        model_url = await held.enter_async_context(served(frozen(material.completions, facts, calls)))
        executor_url = await held.enter_async_context(served(executor_app(material.executions, runs, live)))
        own = Settings(
            data_dir=directory.path / "stack",
            llama_url=model_url,
            executor_url=executor_url,
            slots=facts.slots,  # as then: what is left of a budget is shared by the choices of a call
            sandbox_jobs=8,  # they wait for an answer, most of them from memory
            thinking_tags=facts.thinking_tags,
            log_level="warning",
        )
        stack = await held.enter_async_context(private(own, console))
        yield Bench(stack, calls, runs)


@dataclass(frozen=True)
class Judge:
    """Who grades what the record has no grade for: a grader, and the tasks it has hidden tests of."""

    grader: Grades
    tasks: Mapping[str, Task]


async def replay(
    material: Material,
    policy: Policy,
    on: Bench,
    *,
    concurrency: int,
    done: Callable[[Replayed], object] = lambda _: None,
    judge: Judge | None = None,
) -> list[Replayed]:
    """Play every task again, `concurrency` at a time; return them in the run's order, untold tasks last.

    Programs are graded by what the run's own grades say of their content, else by the `judge`.

    Raises:
        GatewayRefused, GatewayUnreachable, StartupError: the stack cannot go on.
    """
    found: dict[str, Replayed] = {}
    waiting = iter(material.subjects)

    async def work() -> None:
        for subject in waiting:
            view = await _solved(subject, policy, on)
            replayed = _replayed(material, subject, view, own=policy == material.run.policy)
            replayed = await _graded(replayed, view, material, judge)
            found[replayed.task] = replayed
            done(replayed)

    workers = [asyncio.ensure_future(work()) for _ in range(concurrency)]
    watcher = asyncio.ensure_future(on.stack.ended())
    all_done = asyncio.gather(*workers)
    either: set[asyncio.Future[Any]] = {all_done, watcher}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await (all_done if all_done.done() else watcher)
    finally:
        for each in (*workers, watcher):
            each.cancel()
        await asyncio.gather(*workers, watcher, all_done, return_exceptions=True)
    untold = [Replayed(task=task, answered=False, missing=NO_JOURNAL) for task in material.untold]
    return [found[subject.record.task] for subject in material.subjects] + untold


def changes(material: Material, on: Bench) -> tuple[str, ...]:
    """Say what the stack pinned otherwise than the run's did: with other prompts no call is recorded."""
    then = material.run.pins
    if then is None or on.pins is None:
        return ()
    return tuple(differences(then.model_dump(mode="json"), on.pins.model_dump(mode="json")))


async def _solved(subject: Subject, policy: Policy, on: Bench) -> TaskView:
    submitted = subject.submitted
    request = SubmitRequest(problem=submitted.problem, policy=policy, deadline_s=submitted.deadline_s)
    name = sha256(f"{policy.model_dump_json()} {subject.record.task}")  # of any length, and with any letters
    view, _ = await on.stack.gateway.submit(request, name)
    if on.pins is None:
        on.pins = await on.stack.gateway.pins(view.id)
    return await on.stack.gateway.wait(view.id)


def _replayed(material: Material, subject: Subject, view: TaskView, *, own: bool) -> Replayed:
    sha = None if view.program is None else program_sha256(view.program)
    then = subject.record.view
    before = None if then is None or then.program is None else program_sha256(then.program)
    missing = _missing(subject, view, own=own)
    return Replayed(
        task=subject.record.task,
        answered=missing is None,
        missing=missing,
        program_sha256=sha,
        same=sha == before,
        tokens_in=view.usage.tokens_in,
        tokens_out=view.usage.tokens_out,
    )


def _missing(subject: Subject, view: TaskView, *, own: bool) -> str | None:
    """Return the first failure that the run does not account for.

    Under its own policy what the machinery failed then fails again: a prompt too long for the context, say.
    """
    for failure in view.failures:
        if failure.infrastructure and not (own and failure.command in subject.failed):
            return f"{failure.command}: {failure.detail}"[:500]
    if view.status == "cancelled":
        return "the task was cancelled"
    if view.deadline_reached and not (subject.record.view and subject.record.view.deadline_reached):
        return "the deadline came before the record had answered"
    return None


async def _graded(replayed: Replayed, view: TaskView, material: Material, judge: Judge | None) -> Replayed:
    if not replayed.answered:
        return replayed
    if view.program is None or replayed.program_sha256 is None:
        return replayed.model_copy(update={"passed": False, "graded_by": "record"})
    known = material.grades.get(Program(replayed.task, replayed.program_sha256))
    if known is not None:
        return replayed.model_copy(update={"passed": known, "graded_by": "record"})
    task = judge.tasks.get(replayed.task) if judge else None
    if judge is None or task is None:
        return replayed
    grade = await judge.grader.grade(task, view.program, material.run.configuration.grader)
    return replayed.model_copy(update={"passed": grade.passed, "graded_by": "grader"})
