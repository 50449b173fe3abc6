"""The recorded executor and the runs on generated inputs: what is answered, run anew, or refused."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from atlas.contracts import Example, Execution, Problem, TestResult, Verdict
from atlas.errors import BadInput, ExecutorError, InfrastructureError
from atlas.executor import ExecuteRequest, ExecutorClient, Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.judge import judge
from benchmark.grades import Program
from benchmark.recorded.completions import sha256
from benchmark.recorded.executions import (
    EXECUTIONS,
    ExecutionStore,
    GeneratedRun,
    how_to_run,
    read_executions,
    run_of,
)
from benchmark.recorded.executor_app import Runs, executor_app
from benchmark.recorded.input_runs import left_to_run, make_inputs, read_given, run_all
from benchmark.recorded.row_file import RowFile, read_rows

PROBLEM = Problem(
    statement="Double it.", examples=(Example(input="1", output="2"), Example(input="5", output="10"))
)


def double(code: str, text: str) -> Run:
    if code == "long":
        return Run(status=RunStatus.OK, output="x" * 100_000)
    if code == "crash" or not text.isdigit():
        return Run(status=RunStatus.RUNTIME_ERROR, error="ValueError: no number", output="x" * 10_000)
    return Run(status=RunStatus.OK, output=f"{2 * int(text)}\n", wall_s=0.25)


async def recorded(*codes: str) -> ExecutionStore:
    """A store of what a journal tells of programs on the examples."""
    store = ExecutionStore()
    for code in codes:
        execution = await judged(FakeExecutor(double), code)
        for example, result in zip(PROBLEM.examples, execution.results, strict=True):
            if run := run_of(result):
                store.add(how_to_run(PROBLEM), sha256(code), sha256(example.input), run)
    store.isolation = "none"
    return store


async def judged(executor: FakeExecutor | ExecutorClient, code: str) -> Execution:
    return await judge(executor, code=code, problem=PROBLEM, tests=PROBLEM.examples, checker="official")


def client(store: ExecutionStore, counts: Runs, live: FakeExecutor | None = None) -> ExecutorClient:
    return ExecutorClient("http://executor", transport=httpx.ASGITransport(executor_app(store, counts, live)))


async def test_runs_are_answered_as_they_were() -> None:
    counts = Runs()
    async with client(await recorded("good", "crash"), counts) as executor:
        assert await executor.ready() is None
        for code in ("good", "crash"):
            then = await judged(FakeExecutor(double), code)
            now = await judged(executor, code)
            assert [r.verdict for r in now.results] == [r.verdict for r in then.results]
            assert [r.output for r in now.results] == [r.output for r in then.results]
        assert (counts.recorded, counts.unanswerable) == (4, 0)


async def test_what_is_not_there_is_refused_for_good_or_run_once() -> None:
    counts = Runs()
    async with client(await recorded("good"), counts) as executor:
        with pytest.raises(ExecutorError, match="Unanswerable") as refused:
            await judged(executor, "other")
        assert not refused.value.retryable
        assert counts.unanswerable == 2
    async with client(await recorded("good", "long"), counts, FakeExecutor(double)) as executor:
        for _ in range(2):
            execution = await judged(executor, "long")  # its outputs were cut in the journal
            assert execution.results[0].verdict is Verdict.WRONG_ANSWER
        assert counts.anew == 2


async def test_limits_and_entry_points_are_part_of_a_run() -> None:
    store = await recorded("good")
    other = PROBLEM.limits.model_copy(update={"time_s": 1.0})
    request = ExecuteRequest(code="good", inputs=("1",), limits=other)
    assert store.find(request, sha256("good"), sha256("1")) is None
    same = ExecuteRequest(code="good", inputs=("1",))
    assert store.find(same, sha256("good"), sha256("1")) is not None


async def test_a_spoiled_run_is_no_record() -> None:
    assert run_of(TestResult(verdict=Verdict.INFRASTRUCTURE_ERROR)) is None
    spoiled = FakeExecutor(lambda *_: Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="gone"))
    store = ExecutionStore()
    async with client(store, Runs(), spoiled) as executor:
        assert (await judged(executor, "good")).results[0].verdict is Verdict.INFRASTRUCTURE_ERROR
    assert len(store) == 0


async def test_programs_are_run_on_generated_inputs_once_whatever_is_killed(tmp_path: Path) -> None:
    problems = {"t": PROBLEM}
    found = {Program("t", sha256(code)): code for code in ("good", "crash", "long", "\udc80")}
    inputs = make_inputs(tmp_path, problems, 3, 0, {"t": ["7"]})
    assert inputs == make_inputs(tmp_path, problems, 3, 0, {"t": ["7"]})
    assert [row.origin for row in inputs["t"]] == ["file", "mutation", "mutation", "mutation"]
    work = left_to_run(tmp_path, found, problems, inputs)
    assert [each.code for each in work] == ["good", "crash", "long"]
    assert await run_all(tmp_path, work[:1], FakeExecutor(double), 2, lambda _: None) == 4
    with (tmp_path / EXECUTIONS).open("a") as file:
        file.write('{"task": "t", "prog')  # a kill
    work = left_to_run(tmp_path, found, problems, inputs)
    assert [each.code for each in work] == ["crash", "long"]
    assert await run_all(tmp_path, work, FakeExecutor(double), 2, lambda _: None) == 8
    assert left_to_run(tmp_path, found, problems, inputs) == []
    rows = list(read_rows(tmp_path / EXECUTIONS, GeneratedRun))
    assert len(rows) == 12
    assert {row.whole for row in rows if row.program_sha256 == sha256("long")} == {False}
    store = ExecutionStore()
    read_executions(tmp_path, problems, store)
    run = store.find(how_to_run(PROBLEM), sha256("good"), sha256("7"))
    assert run is not None
    assert run.output == "14\n"
    assert store.find(how_to_run(PROBLEM), sha256("long"), sha256("7")) is None


def test_inputs_of_ones_own_are_read_or_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"task": "t", "input": "1"}\n\n{"task": "t", "input": "2"}\n')
    assert read_given(path, ["t"]) == {"t": ["1", "2"]}
    for line in ("[]", '{"task": "u", "input": "1"}', '{"task": "t", "input": 1}', "{"):
        path.write_text(f'{{"task": "t", "input": "1"}}\n{line}\n')
        with pytest.raises(BadInput, match="line 2"):
            read_given(path, ["t"])


def test_a_row_of_another_version_is_named(tmp_path: Path) -> None:
    with RowFile(tmp_path / "x") as file:
        file.add([PROBLEM])
    with pytest.raises(InfrastructureError, match="line 1: task"):
        list(read_rows(tmp_path / "x", GeneratedRun))
