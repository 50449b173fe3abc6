import asyncio
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas import executor
from atlas.checkers import Checker, matches
from atlas.contracts import OUTPUT_KEPT_CHARS, Example, Execution, Limits, Problem, Verdict
from atlas.errors import ExecutorError
from atlas.executor import ExecuteRequest, ExecuteResponse, Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.judge import judge
from services.sandbox.runner import Runner

PROBLEM = Problem(statement="Print the input.")
DATA = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def ok(output: str) -> Run:
    return Run(status=RunStatus.OK, output=output, wall_s=0.5)


def echo(_: str, text: str) -> Run:
    return ok(text)


def examples(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(input=a, output=b) for a, b in pairs]


async def test_right_and_wrong() -> None:
    tests = examples(("1", "1"), ("2", "3"))
    execution = await judge(FakeExecutor(echo), code="x", problem=PROBLEM, tests=tests, checker="official")
    assert [r.verdict for r in execution.results] == [Verdict.ACCEPTED, Verdict.WRONG_ANSWER]
    assert execution.isolation == "fake"
    assert execution.seconds == 1.0
    assert (execution.tests, execution.results[0].wall_s) == (2, 0.5)


async def test_no_expected_output_reaches_the_executor() -> None:
    client = FakeExecutor(echo)
    await judge(client, code="x", problem=PROBLEM, tests=examples(("in", "SECRET")), checker="official")
    assert "SECRET" not in client.requests[0].model_dump_json()


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.OK])
async def test_every_other_status_keeps_its_name_even_with_the_right_output(status: RunStatus) -> None:
    fake = FakeExecutor({("x", "1"): Run(status=status, output="1", error="why")})
    execution = await judge(fake, code="x", problem=PROBLEM, tests=examples(("1", "1")), checker="official")
    assert execution.results[0].verdict.value == status.value
    assert execution.results[0].error == "why"


@pytest.mark.parametrize("expected", ["", " ", "null", "[1, 2]", '""'])
@pytest.mark.parametrize("checker", get_args(Checker))
async def test_a_function_that_returned_no_json_is_wrong_whatever_is_expected(
    expected: str, checker: Checker
) -> None:
    why = "the returned value holds a set, which is not JSON"
    fake = FakeExecutor({("x", "1"): Run(status=RunStatus.OK, error=why)})
    problem = Problem(statement="One.", kind="function", entry_point="f")
    tests = examples(("1", expected))
    (result,) = (await judge(fake, code="x", problem=problem, tests=tests, checker=checker)).results
    assert (result.verdict, result.error) == (Verdict.WRONG_ANSWER, why)


async def test_printing_nothing_can_be_right() -> None:
    fake = FakeExecutor({("x", "1"): ok("")})
    tests = examples(("1", ""))
    assert (await judge(fake, code="x", problem=PROBLEM, tests=tests, checker="strict")).all_passed


def test_executions_of_old_journals_are_still_read() -> None:
    old = {"results": [{"verdict": "accepted", "cpu_s": 0.1}], "isolation": "subprocess", "seconds": 1.0}
    execution = Execution.model_validate(old)
    assert (execution.all_passed, execution.tests, execution.results[0].wall_s) == (True, 0, 0.0)


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    output_kb=st.sampled_from([1, 1024, 16_384]),
    stop=st.booleans(),
)
def test_every_test_is_asked_once_in_portions_an_executor_takes(
    sizes: list[int], output_kb: int, stop: bool
) -> None:
    client = FakeExecutor(echo)
    tests = [Example(input=f"{i} " + "x" * size, output=f"{i} " + "x" * size) for i, size in enumerate(sizes)]
    problem = Problem(statement="Echo.", limits=Limits(output_kb=output_kb))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.judge.CHUNK_CHARS", 100)
        patch.setattr("atlas.executor.MAX_OUTPUTS_KB", 50_000)
        execution = asyncio.run(
            judge(client, code="x", problem=problem, tests=tests, checker="official", stop_on_failure=stop)
        )
        assert execution.all_passed
        asked = [text for request in client.requests for text in request.inputs]
        assert asked == [test.input for test in tests]
        for request in client.requests:
            assert len(request.inputs) <= executor.outputs_that_fit(problem.limits)
            assert len(request.inputs) == 1 or sum(map(len, request.inputs)) <= 100


async def test_zero_tests_is_an_error_not_a_pass() -> None:
    with pytest.raises(ValueError, match="zero tests"):
        await judge(FakeExecutor(echo), code="x", problem=PROBLEM, tests=[], checker="official")


async def test_long_output_is_judged_whole_and_kept_cut() -> None:
    long = "7" * (OUTPUT_KEPT_CHARS + 1)
    execution = await judge(
        FakeExecutor(echo),
        code="x",
        problem=PROBLEM,
        tests=examples((long, long), (long, long[:-1])),
        checker="official",
    )
    assert [r.verdict for r in execution.results] == [Verdict.ACCEPTED, Verdict.WRONG_ANSWER]
    assert execution.results[0].output == long[:OUTPUT_KEPT_CHARS]
    assert execution.results[0].output_sha256 == hashlib.sha256(long.encode()).hexdigest()


async def test_stop_on_failure_asks_for_few_and_ends_with_the_failure() -> None:
    client = FakeExecutor(echo)
    tests = examples(*((str(i), "2" if i == 1 else str(i)) for i in range(200)))
    execution = await judge(
        client, code="x", problem=PROBLEM, tests=tests, checker="official", stop_on_failure=True
    )
    assert [r.verdict for r in execution.results] == [Verdict.ACCEPTED, Verdict.WRONG_ANSWER]
    assert sum(len(request.inputs) for request in client.requests) < 10
    assert (execution.tests, execution.passed, execution.all_passed) == (200, 1, False)


async def test_stop_on_failure_lets_a_right_program_see_every_test_in_order() -> None:
    client = FakeExecutor(echo)
    tests = examples(*((str(i), str(i)) for i in range(150)))
    execution = await judge(
        client, code="x", problem=PROBLEM, tests=tests, checker="official", stop_on_failure=True
    )
    assert [r.output for r in execution.results] == [t.input for t in tests]
    assert execution.all_passed


async def test_too_few_runs_is_an_error_not_a_shorter_result() -> None:
    class Short(FakeExecutor):
        async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
            return ExecuteResponse(runs=(ok("1"),), isolation="fake")

    with pytest.raises(ExecutorError, match="1 runs to 2 inputs"):
        await judge(
            Short(echo), code="x", problem=PROBLEM, tests=examples(("1", "1"), ("2", "2")), checker="official"
        )


# ---------------------------------------------------------------- parity with LiveCodeBench's own verdicts


@pytest.fixture
def sample() -> list[tuple[dict, dict]]:
    solutions, tasks = DATA / "solutions_lcb_calibrated.jsonl", DATA / "lcb_official.jsonl"
    if not (solutions.is_file() and tasks.is_file()):
        pytest.skip(f"no LiveCodeBench data at {DATA.name}: set SHARED_DATA to its directory")
    by_id = {row["question_id"]: row for row in map(json.loads, tasks.read_text().splitlines())}
    rows = [json.loads(line) for line in solutions.read_text().splitlines()]
    # Some fail only on large tests that were left out of the data: nothing here can tell.
    decidable = [row for row in rows if row.get("fails_on_shipped_tests", True)]
    return [(row, by_id[row["question_id"]]) for row in decidable[::7]]


def passes(runner: Runner, row: dict, task: dict) -> bool:
    """Our verdict: on all tests where LiveCodeBench's is a failure, else on the first five (for time)."""
    name = task["metadata"].get("func_name")
    kind = "function" if name else "stdin"
    tests = task["public_tests"] + task["private_tests"]
    tests = tests if row["verdict"] == "fail" else tests[:5]
    request = ExecuteRequest(
        code=row["code"],
        kind=kind,
        entry_point=name,
        inputs=tuple(test["input"] for test in tests),
        limits=Limits(memory_mb=1024, output_kb=4096),
        stop_on_error=True,
    )
    runs = runner.execute(request).runs
    return len(runs) == len(tests) and all(
        run.status is RunStatus.OK and matches(kind, run.output, test["output"], "official")
        for run, test in zip(runs, tests, strict=True)
    )


@pytest.mark.integration
def test_official_agrees_with_livecodebench(sample: list[tuple[dict, dict]]) -> None:
    runner = Runner.start()
    try:
        with ThreadPoolExecutor(runner.jobs) as pool:
            passed = list(pool.map(lambda pair: passes(runner, *pair), sample))
    finally:
        runner.close()
    agree = sum(p == (row["verdict"] == "pass") for p, (row, _) in zip(passed, sample, strict=True))
    assert agree / len(sample) >= 0.98
