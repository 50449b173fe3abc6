"""Run a program on tests and compare what it printed or returned, outside the sandbox.

The one judge: the solving stack uses it on public examples, the benchmark's grader on hidden tests (in
its own process, on an executor of its own).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from atlas.checkers import Checker, matches
from atlas.contracts import OUTPUT_KEPT_CHARS, Example, Execution, Limits, TestResult, Verdict
from atlas.errors import ExecutorError
from atlas.executor import MAX_INPUTS, ExecuteRequest, Executor, Run, RunStatus, outputs_that_fit

# With stop_on_failure only a crash stops the executor, a wrong answer is seen after its chunk:
# so chunks start small (bad programs fail early) and grow (good ones take few round trips).
FIRST_CHUNK, LAST_CHUNK = 4, 64
# Characters of input sent at once, well below what an executor takes (in JSON a newline is two bytes).
CHUNK_CHARS = 24_000_000
Kind = Literal["stdin", "function"]


class Judged(Protocol):
    """What the judge must know of a problem: an `atlas.contracts.Problem`, or any request that says it."""

    @property
    def kind(self) -> str:
        """`stdin` or `function`."""
        ...

    @property
    def entry_point(self) -> str | None:
        """Name of the function, for a `function` problem."""
        ...

    @property
    def limits(self) -> Limits:
        """What one run may use."""
        ...


async def judge(
    client: Executor,
    *,
    code: str,
    problem: Judged,
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
    kind: Kind = "function" if problem.kind == "function" else "stdin"
    results: list[TestResult] = []
    isolation = ""
    for chunk in _chunks(tests, stop_on_failure, outputs_that_fit(problem.limits)):
        request = ExecuteRequest(
            code=code,
            kind=kind,
            entry_point=problem.entry_point,
            inputs=tuple(test.input for test in chunk),
            limits=problem.limits,
            stop_on_error=stop_on_failure,
        )
        response = await client.execute(request)
        isolation = response.isolation
        _check_count(request, response.runs)
        for test, run in zip(chunk, response.runs, strict=False):
            results.append(_result(run, kind, test, checker))
            if stop_on_failure and results[-1].verdict is not Verdict.ACCEPTED:
                return _execution(results, len(tests), isolation)
    return _execution(results, len(tests), isolation)


def _chunks(tests: Sequence[Example], growing: bool, most: int) -> Iterator[Sequence[Example]]:
    """The tests in portions that an executor takes: by number, by size, and by what may come back."""
    start, size = 0, FIRST_CHUNK if growing else MAX_INPUTS
    while start < len(tests):
        chars = count = 0
        for test in tests[start : start + min(size, most)]:
            chars += len(test.input)
            if count and chars > CHUNK_CHARS:
                break
            count += 1
        yield tests[start : start + count]
        start += count
        size = min(2 * size, LAST_CHUNK) if growing else size


def _execution(results: Sequence[TestResult], tests: int, isolation: str) -> Execution:
    seconds = sum(result.wall_s for result in results)
    return Execution(results=tuple(results), tests=tests, isolation=isolation, seconds=seconds)


def _check_count(request: ExecuteRequest, runs: Sequence[Run]) -> None:
    stopped = request.stop_on_error and bool(runs) and runs[-1].status is not RunStatus.OK
    if len(runs) > len(request.inputs) or (len(runs) < len(request.inputs) and not stopped):
        raise ExecutorError(f"the executor answered {len(runs)} runs to {len(request.inputs)} inputs")


def _result(run: Run, kind: Kind, test: Example, checker: Checker) -> TestResult:
    if run.status is RunStatus.OK:
        verdict = Verdict.ACCEPTED if _is_right(run, kind, test, checker) else Verdict.WRONG_ANSWER
    else:
        verdict = Verdict(run.status.value)
    return TestResult(
        verdict=verdict,
        output=run.output[:OUTPUT_KEPT_CHARS],
        output_sha256=hashlib.sha256(run.output.encode("utf-8", "surrogatepass")).hexdigest(),
        error=run.error,
        cpu_s=run.cpu_s,
        wall_s=run.wall_s,
        memory_mb=run.memory_mb,
    )


def _is_right(run: Run, kind: Kind, test: Example, checker: Checker) -> bool:
    if kind == "function" and not run.output:
        # It returned something JSON has no word for: right under no checker, whatever is expected.
        return False
    return matches(kind, run.output, test.output, checker)
