"""Asking the executor for runs whose results nobody judges, until the machinery spoils none of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from atlas.contracts import Problem
from atlas.errors import ExecutorError
from atlas.executor import ExecuteRequest, ExecuteResponse, Executor, Run, RunStatus

T = TypeVar("T")

TRIES = 3
# A program that has no end on its first inputs has none on the others either: it would cost every one of them
# its whole time.
FIRST = 4
# Many programs run on many inputs, or many inputs are made and checked: each run gets less than a test would.
MOST_TIME_S = 2.0


async def ask(executor: Executor, request: ExecuteRequest) -> tuple[tuple[Run, ...], str]:
    """Return a run for each input, and the isolation level; what the machinery spoiled is run again.

    Raises:
        ExecutorError: if the executor could not be asked, or (not retryable) spoiled every try.
    """

    async def attempt() -> ExecuteResponse:
        answer = await executor.execute(request)
        if len(answer.runs) != len(request.inputs):
            raise ExecutorError(f"{len(answer.runs)} runs were answered to {len(request.inputs)} inputs")
        return answer

    def bad(answer: ExecuteResponse) -> list[str]:
        return [run.error for run in answer.runs if run.status is RunStatus.INFRASTRUCTURE_ERROR]

    answer = await unspoiled(attempt, bad)
    return answer.runs, answer.isolation


async def unspoiled(attempt: Callable[[], Awaitable[T]], bad: Callable[[T], Sequence[str]]) -> T:
    """Return what an attempt came to, the first of which the machinery spoiled nothing (`bad` says what).

    Raises:
        ExecutorError: not retryable, if it spoiled every try; from an attempt, at once.
    """
    spoiled = ""
    for _ in range(TRIES):
        result = await attempt()
        errors = bad(result)
        if not errors:
            return result
        spoiled = errors[0]
    raise ExecutorError(f"spoiled {TRIES} times: {spoiled}", retryable=False)


async def ask_each(executor: Executor, request: ExecuteRequest) -> tuple[tuple[Run, ...], str]:
    """As `ask`, but a program that runs out of time on all its first inputs is not run on the rest.

    They are `time_limit` too.
    """
    first, rest = request.inputs[:FIRST], request.inputs[FIRST:]
    runs, isolation = await ask(executor, request.model_copy(update={"inputs": first}))
    if rest and all(run.status is RunStatus.TIME_LIMIT for run in runs):
        return runs + (Run(status=RunStatus.TIME_LIMIT),) * len(rest), isolation
    if rest:
        more, _ = await ask(executor, request.model_copy(update={"inputs": rest}))
        runs += more
    return runs, isolation


def how(problem: Problem, code: str, inputs: tuple[str, ...]) -> ExecuteRequest:
    """Return the request for a program of the problem on inputs, within `MOST_TIME_S` a run."""
    limits = problem.limits.model_copy(update={"time_s": min(problem.limits.time_s, MOST_TIME_S)})
    return ExecuteRequest(
        code=code,
        kind="function" if problem.kind == "function" else "stdin",
        entry_point=problem.entry_point,
        inputs=inputs,
        limits=limits,
    )


def helper(problem: Problem, code: str, entry_point: str, inputs: tuple[str, ...]) -> ExecuteRequest:
    """Return the request for a program that the model wrote beside: its generator, its validator."""
    limits = problem.limits.model_copy(
        update={"time_s": min(problem.limits.time_s, MOST_TIME_S), "output_kb": 64}
    )
    return ExecuteRequest(code=code, kind="function", entry_point=entry_point, inputs=inputs, limits=limits)
