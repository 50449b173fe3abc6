"""Sandbox worker: commands to events. It runs no untrusted code itself; the executor does, over HTTP."""

from __future__ import annotations

from atlas.commands import CheckBruteForce, Execute, MakeInputs, MakeSelfTests, Probe, RunSelfTests
from atlas.contracts import Execution
from atlas.events import AnyEvent, ExecutionFinished
from atlas.executor import Executor
from atlas.state import TaskState
from atlas.worker import Context, Handler
from services.sandbox import self_tests
from services.sandbox.inputs import make_inputs
from services.sandbox.judging import on_tests
from services.sandbox.probes import probe


async def execute(executor: Executor, state: TaskState, candidate: str) -> Execution:
    """Run a candidate on the task's public examples; `seconds` is the time the executor took to answer.

    A run that the machinery spoiled says nothing about the program: it is tried again.

    Raises:
        ExecutorError: if the executor could not be asked, or (not retryable) spoiled every try.
    """
    code, problem = state.candidates[candidate].code or "", state.task.problem
    return await on_tests(executor, problem, code, problem.examples)


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
        if isinstance(command, CheckBruteForce):
            return [await self_tests.check(executor, context.state, command)]
        if isinstance(command, MakeSelfTests):
            return [await self_tests.make(executor, context.state, command)]
        if isinstance(command, RunSelfTests):
            return [await self_tests.run(executor, context.state, command)]
        raise TypeError(f"not a sandbox command: {command.kind}")

    return handle
