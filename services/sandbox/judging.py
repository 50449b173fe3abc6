"""A program on tests whose outputs are known: public examples, or self-tests."""

from __future__ import annotations

import time
from collections.abc import Sequence

from atlas.contracts import Example, Execution, Problem, Verdict
from atlas.executor import Executor
from atlas.judge import judge
from services.sandbox.asking import unspoiled


async def on_tests(executor: Executor, problem: Problem, code: str, tests: Sequence[Example]) -> Execution:
    """Run a program on tests; `seconds` is the time the executor took to answer.

    A run that the machinery spoiled says nothing about the program: it is tried again.

    Raises:
        ExecutorError: if the executor could not be asked, or (not retryable) spoiled every try.
    """

    async def attempt() -> Execution:
        began = time.monotonic()
        execution = await judge(executor, code=code, problem=problem, tests=tuple(tests), checker="official")
        return execution.model_copy(update={"seconds": time.monotonic() - began})

    def bad(execution: Execution) -> list[str]:
        return [r.error for r in execution.results if r.verdict is Verdict.INFRASTRUCTURE_ERROR]

    return await unspoiled(attempt, bad)
