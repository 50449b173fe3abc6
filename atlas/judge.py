"""Run a program on tests and compare what it printed or returned, outside the sandbox.

The one judge: the solving stack uses it on public examples, the benchmark's grader on hidden tests (in
its own process, on an executor of its own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

from atlas.checkers import Checker, matches
from atlas.contracts import OUTPUT_KEPT_CHARS, Example, Execution, Problem, TestResult, Verdict
from atlas.errors import ExecutorError
from atlas.executor import ExecuteRequest, Executor, Run, RunStatus

# With stop_on_failure only a crash stops the executor, a wrong answer is seen after its chunk:
# so chunks start small (bad programs fail early) and grow (good ones take few round trips).
FIRST_CHUNK, LAST_CHUNK = 4, 64
MAX_INPUTS = 1000


async def judge(
    client: Executor,
    *,
    code: str,
    problem: Problem,
    tests: Sequence[Example],
    checker: Checker,
    stop_on_failure: bool = False,
) -> Execution:
    """Judge `code` on `tests`, in their order.

    With `stop_on_failure` the results end with the first that is not accepted, whatever the chunking.
    `Execution.seconds` is the sum of the runs' wall times.

    Raises:
        ValueError: no tests: passing none of none must never read as a pass.
        ExecutorError: the executor refused, or could not be reached. A single run that failed on the
            machinery's side is a result, `infrastructure_error`, never a wrong answer.
    """
    if not tests:
        raise ValueError("cannot judge a program on zero tests")
    if problem.kind not in ("stdin", "function"):
        raise ValueError(f"cannot judge a problem of kind '{problem.kind}'")
    results: list[TestResult] = []
    seconds, isolation = 0.0, ""
    for chunk in _chunks(tests, stop_on_failure):
        request = ExecuteRequest(
            code=code,
            kind=problem.kind,
            entry_point=problem.entry_point,
            inputs=tuple(test.input for test in chunk),
            limits=problem.limits,
            stop_on_error=stop_on_failure,
        )
        response = await client.execute(request)
        isolation = response.isolation
        _check_count(request, response.runs)
        for test, run in zip(chunk, response.runs, strict=False):
            results.append(_result(run, problem, test, checker))
            seconds += run.wall_s
            if stop_on_failure and results[-1].verdict is not Verdict.ACCEPTED:
                return Execution(results=tuple(results), isolation=isolation, seconds=seconds)
    return Execution(results=tuple(results), isolation=isolation, seconds=seconds)


def _chunks(tests: Sequence[Example], growing: bool) -> Iterator[Sequence[Example]]:
    start, size = 0, FIRST_CHUNK if growing else MAX_INPUTS
    while start < len(tests):
        yield tests[start : start + size]
        start += size
        size = min(2 * size, LAST_CHUNK) if growing else size


def _check_count(request: ExecuteRequest, runs: Sequence[Run]) -> None:
    stopped = request.stop_on_error and bool(runs) and runs[-1].status is not RunStatus.OK
    if len(runs) > len(request.inputs) or (len(runs) < len(request.inputs) and not stopped):
        raise ExecutorError(f"the executor answered {len(runs)} runs to {len(request.inputs)} inputs")


def _result(run: Run, problem: Problem, test: Example, checker: Checker) -> TestResult:
    if run.status is not RunStatus.OK:
        verdict = Verdict(run.status.value)
    else:
        kind: Literal["stdin", "function"] = "function" if problem.kind == "function" else "stdin"
        right = matches(kind, run.output, test.output, checker)
        verdict = Verdict.ACCEPTED if right else Verdict.WRONG_ANSWER
    return TestResult(
        verdict=verdict,
        output=run.output[:OUTPUT_KEPT_CHARS],
        output_sha256=hashlib.sha256(run.output.encode("utf-8", "surrogatepass")).hexdigest(),
        error=run.error,
        cpu_s=run.cpu_s,
        memory_mb=run.memory_mb,
    )
