"""Grading a problem of steps: each step's own tests run on the one submitted program.

A step's test is code that calls the program's functions and compares with a `target`; so the target must be
handed to the executor, into the process that runs the program. That is no leak: the executor is the runner's
own, and by then the submission is final. Nothing of it can come back to whatever made it (promise 1 is about
what the solving stack can see, and the stack's executor never gets any of this). What it does mean is that a
program that went looking for the target in its own process would find it; no other kind of problem allows
that, and a verdict here is worth as much less.

The program prints nothing that counts: the harness prints a token of this grading before its verdict, so an
early exit or a program's own output is no pass.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from atlas.contracts import Example, Execution, Limits, TestResult, Verdict
from atlas.executor import Executor
from atlas.judge import judge
from benchmark.tasks import Task

HARNESS = Path(__file__).with_name("steps_harness.py")


@dataclass(frozen=True)
class _Script:
    """The harness as the judge sees a problem."""

    limits: Limits
    kind: str = "stdin"
    entry_point: None = None


async def execute(executor: Executor, task: Task, code: str) -> Execution:
    """Run every step's tests; one result a step, in their order.

    A step is an `infrastructure_error` where its data needs what the executor does not have, say a package.

    Raises:
        ExecutorError: the executor refused, or could not be reached.
    """
    token = secrets.token_hex(16)
    tests = [Example(input=_asked(test, token, code), output=f"{token} passed") for test in task.hidden.tests]
    execution = await judge(
        executor,
        code=HARNESS.read_text(encoding="utf-8"),
        problem=_Script(task.problem.limits),
        tests=tests,
        checker="strict",
    )
    results = tuple(_told(result, token) for result in execution.results)
    return execution.model_copy(update={"results": results})


def _asked(test: Example, token: str, code: str) -> str:
    return json.dumps({"token": token, "program": code, **json.loads(test.input)})


def _told(result: TestResult, token: str) -> TestResult:
    unable = f"{token} unable "
    if result.verdict is Verdict.WRONG_ANSWER and result.output.startswith(unable):
        reason = result.output[len(unable) :].strip()
        return result.model_copy(update={"verdict": Verdict.INFRASTRUCTURE_ERROR, "error": reason})
    return result
