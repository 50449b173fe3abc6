"""Sandbox worker: commands to events. It runs no untrusted code itself; the executor does, over HTTP."""

from __future__ import annotations

import time

from atlas.commands import Execute, MakeInputs, Probe
from atlas.contracts import Execution, Verdict
from atlas.events import AnyEvent, ExecutionFinished
from atlas.executor import Executor
from atlas.judge import judge
from atlas.state import TaskState
from atlas.worker import Context, Handler
from services.sandbox.asking import unspoiled
from services.sandbox.inputs import make_inputs
from services.sandbox.probes import probe


async def execute(executor: Executor, state: TaskState, candidate: str) -> Execution:
    """Run a candidate on the task's public examples; `seconds` is the time the executor took to answer.

    A run that the machinery spoiled says nothing about the program: it is tried again.

    Raises:
        ExecutorError: if the executor could not be asked, or (not retryable) spoiled every try.
    """
    code = state.candidates[candidate].code or ""
    problem = state.task.problem

    async def attempt() -> Execution:
        began = time.monotonic()
        execution = await judge(
            executor, code=code, problem=problem, tests=problem.examples, checker="official"
        )
        return execution.model_copy(update={"seconds": time.monotonic() - began})

    def bad(execution: Execution) -> list[str]:
        return [r.error for r in execution.results if r.verdict is Verdict.INFRASTRUCTURE_ERROR]

    return await unspoiled(attempt, bad)


def handler(executor: Executor) -> Handler:
    """Return the sandbox worker's handler over an executor."""

    async def handle(context: Context) -> list[AnyEvent]:
        command = context.command
        if isinstance(command, Execute):
            execution = await execute(executor, context.state, command.candidate)
            return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=execution)]
        if isinstance(command, MakeInputs):
            return [await make_inputs(executor, context.state, command)]
        if isinstance(command, Probe):
            return [await probe(executor, context.state, command)]
        raise TypeError(f"not a sandbox command: {command.kind}")

    return handle
