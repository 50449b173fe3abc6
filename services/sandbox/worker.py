"""Sandbox worker: commands to events. It runs no untrusted code itself; the executor does, over HTTP."""

from __future__ import annotations

import time

from atlas.contracts import AnyEvent, Execute, Execution, ExecutionFinished, Verdict
from atlas.errors import ExecutorError
from atlas.executor import Executor
from atlas.judge import judge
from atlas.state import TaskState
from atlas.worker import Context, Handler


async def execute(executor: Executor, state: TaskState, candidate: str) -> Execution:
    """Run a candidate on the task's public examples.

    Raises:
        ExecutorError: if the executor could not run it: that says nothing about the program.
    """
    code = state.candidates[candidate].code or ""
    problem = state.task.problem
    began = time.monotonic()
    execution = await judge(executor, code=code, problem=problem, tests=problem.examples, checker="official")
    for result in execution.results:
        if result.verdict is Verdict.INFRASTRUCTURE_ERROR:
            raise ExecutorError(result.error)
    return execution.model_copy(update={"seconds": time.monotonic() - began})


def handler(executor: Executor) -> Handler:
    """Return the sandbox worker's handler over an executor."""

    async def handle(context: Context) -> list[AnyEvent]:
        command = context.command
        if isinstance(command, Execute):
            execution = await execute(executor, context.state, command.candidate)
            return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=execution)]
        raise TypeError(f"not a sandbox command: {command.kind}")

    return handle
