"""A task solved in this process: the brain and the services' handlers, without Redis, servers or a clock."""

from __future__ import annotations

from typing import cast

from atlas.commands import SERVICE_OF
from atlas.events import AnyEvent, TaskSubmitted
from atlas.executor import Executor
from atlas.journal import Journal
from atlas.lens.table import Shelf
from atlas.llama import ModelServer
from atlas.pipeline import advance, decide
from atlas.state import TaskState
from atlas.worker import Context, Worker
from services.lens.energy import Scorer
from services.lens.worker import handler as lens
from services.planner.worker import handler as planner
from services.repair.worker import handler as repair
from services.sandbox.worker import handler as sandbox


async def solve(
    submitted: TaskSubmitted, server: ModelServer, executor: Executor
) -> tuple[TaskState, list[AnyEvent]]:
    """Carry out what the brain wants, one command after the other, until the task has ended."""
    handlers = {
        "planner": planner(server, slots=4),
        "lens": lens(server, Scorer(Shelf(()))),
        "sandbox": sandbox(executor),
        "repair": repair(server),
    }
    nowhere = cast("Journal", None)  # a worker's answer needs none
    step = advance(TaskState(), [submitted])
    events = list(step.events)
    while not step.state.closed:
        command = min(decide(step.state), key=lambda c: c.id)
        service = SERVICE_OF[command.kind]
        context = Context("t", command, step.state)
        answer = await Worker(service, nowhere, handlers[service])._answer(context)
        events += list(context.state.calls.values())[len(step.state.calls) :]
        step = advance(context.state, answer)
        events += step.events
    return step.state, events
