"""The executor's HTTP face over a runner that only says what a program would have answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from atlas import executor as contract
from atlas.contracts import Execution, Limits, Verdict
from atlas.executor import ExecuteManyResponse, ExecuteRequest, ExecuteResponse, Run, RunStatus
from services.sandbox import routes
from services.sandbox.runner import Runner

PROBLEM_JSON = "application/problem+json"


def ok(output: str, **more: object) -> Run:
    return Run(status=RunStatus.OK, output=output, **more)  # type: ignore[arg-type]


class FakeRunner:
    """`answer(code, input)` is the run. Keeps its requests, and the most it was asked for at once."""

    isolation, why_not_stronger = "namespaces", ""
    restarts, retried, busy = 3, 4, 1

    def __init__(self, answer: Callable[[str, str], Run], jobs: int = 2) -> None:
        self.answer, self.jobs = answer, jobs
        self.packages = {"numpy": "2.0"}
        self.requests: list[ExecuteRequest] = []
        self.now = self.most = 0
        self.closed = False
        self._lock = threading.Lock()

    def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        with self._lock:
            self.requests.append(request)
            self.now += 1
            self.most = max(self.most, self.now)
        runs: list[Run] = []
        for text in request.inputs:
            runs.append(self.answer(request.code, text))
            if request.stop_on_error and runs[-1].status is not RunStatus.OK:
                break
        with self._lock:
            self.now -= 1
        return ExecuteResponse(runs=tuple(runs), isolation=self.isolation)

    def close(self) -> None:
        self.closed = True


def echo(code: str, text: str) -> Run:
    return ok(f"{code}{text}", cpu_s=0.25, wall_s=0.5, memory_mb=9.0)


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner(echo)


@pytest.fixture
def http(runner: FakeRunner) -> Iterator[TestClient]:
    with TestClient(routes.create_app(cast("Runner", runner))) as client:
        yield client
    assert runner.closed


# ---------------------------------------------------------------- execute, execute-many


def test_execute(http: TestClient, runner: FakeRunner) -> None:
    answer = http.post("/v1/execute", json={"code": "x", "inputs": ["1", "2"], "language": "python"})
    response = ExecuteResponse.model_validate(answer.json())
    assert [run.output for run in response.runs] == ["x1", "x2"]
    assert response.isolation == "namespaces"


def test_many_programs_on_many_inputs_keep_both_orders(http: TestClient, runner: FakeRunner) -> None:
    body = {"programs": ["a", "b", "c"], "inputs": ["1", "2"], "limits": {"time_s": 1}}
    response = ExecuteManyResponse.model_validate(http.post("/v1/execute-many", json=body).json())
    assert [[run.output for run in runs] for runs in response.runs] == [
        ["a1", "a2"],
        ["b1", "b2"],
        ["c1", "c2"],
    ]
    assert response.isolation == "namespaces"
    assert {request.limits.time_s for request in runner.requests} == {1}
    assert [len(request.inputs) for request in runner.requests] == [2, 2, 2], (
        "one request each: compiled once"
    )


@pytest.mark.parametrize(("inputs", "at_once"), [(1, 2), (2, 1), (5, 1)])
def test_many_programs_never_queue_more_runs_than_fill_the_slots(inputs: int, at_once: int) -> None:
    both = threading.Barrier(at_once)

    def wait(code: str, text: str) -> Run:
        both.wait(10)
        return ok("")

    runner = FakeRunner(wait)
    with TestClient(routes.create_app(cast("Runner", runner))) as http:
        body = {"programs": ["a"] * 4, "inputs": ["1"] * inputs}
        assert http.post("/v1/execute-many", json=body).status_code == 200
    assert runner.most == at_once


# ---------------------------------------------------------------- judge


def test_judge_compares_here_and_the_program_is_sent_no_expected_output(
    http: TestClient, runner: FakeRunner
) -> None:
    tests = [
        {"input": "1", "output": "x1"},
        {"input": "2", "output": "SECRET"},
        {"input": "3", "output": "x3"},
    ]
    answer = http.post("/v1/judge", json={"code": "x", "tests": tests})
    execution = Execution.model_validate(answer.json())
    verdicts = [result.verdict for result in execution.results]
    assert verdicts == [Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.ACCEPTED]
    assert (execution.tests, execution.isolation, execution.seconds) == (3, "namespaces", 1.5)
    first = execution.results[0]
    assert (first.cpu_s, first.wall_s, first.memory_mb) == (0.25, 0.5, 9.0)
    assert not any("SECRET" in request.model_dump_json() for request in runner.requests)


def test_judge_stops_at_the_first_failure_and_says_how_many_there_were(http: TestClient) -> None:
    tests = [{"input": str(n), "output": "no" if n == 2 else f"x{n}"} for n in range(10)]
    body = {"code": "x", "tests": tests, "stop_on_failure": True}
    execution = Execution.model_validate(http.post("/v1/judge", json=body).json())
    assert (len(execution.results), execution.tests, execution.all_passed) == (3, 10, False)


def test_judge_takes_the_kind_the_limits_and_the_checker() -> None:
    runner = FakeRunner(lambda code, text: ok("0.5000001"))
    with TestClient(routes.create_app(cast("Runner", runner))) as http:
        body = {
            "code": "x",
            "kind": "function",
            "entry_point": "f",
            "limits": {"memory_mb": 64},
            "tests": [{"input": "1", "output": "0.5"}],
        }
        answers = [
            http.post("/v1/judge", json={**body, "checker": checker}).json()["results"][0]["verdict"]
            for checker in ("official", "strict")
        ]
    assert answers == ["wrong_answer", "accepted"]
    (first, _) = runner.requests
    assert (first.kind, first.entry_point, first.limits) == ("function", "f", Limits(memory_mb=64))


# ---------------------------------------------------------------- bad input

EXECUTE = {"code": "x", "inputs": ["1"]}
MANY = {"programs": ["x"], "inputs": ["1"]}
JUDGE = {"code": "x", "tests": [{"input": "1", "output": "1"}]}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("execute", {"code": "x"}, "inputs: Field required"),
        ("execute", {**EXECUTE, "inputs": []}, "at least 1 item"),
        ("execute", {**EXECUTE, "inputs": [""] * 1001}, "at most 1000 items"),
        ("execute", {**EXECUTE, "expected": ["1"]}, "expected: Extra inputs are not permitted"),
        ("execute", {**EXECUTE, "code": "x" * 1_000_001}, "at most 1000000 characters"),
        ("execute", {**EXECUTE, "inputs": ["é" * 16_000_001]}, "at most 32,000,000 bytes"),
        ("execute", {**EXECUTE, "language": "cobol"}, "Input should be 'python'"),
        ("execute", {**EXECUTE, "kind": "function"}, "needs entry_point"),
        ("execute", {**EXECUTE, "kind": "function", "entry_point": "f()"}, "entry_point"),
        ("execute", {**EXECUTE, "limits": {"time_s": 61}}, "limits.time_s"),
        ("execute", {"code": "x", "inputs": [""] * 63, "limits": {"output_kb": 16_384}}, "at most 62 runs"),
        ("execute-many", {**MANY, "programs": ["x"] * 65}, "at most 64 items"),
        ("execute-many", {"programs": ["x"] * 64, "inputs": [""] * 65}, "4,160 runs"),
        ("execute-many", {"programs": ["x"] * 4, "inputs": [""] * 251}, "a lower limits.output_kb"),
        ("execute-many", {**MANY, "programs": ["x" * 1_000_001]}, "programs.0"),
        ("judge", {**JUDGE, "tests": []}, "at least 1 item"),
        ("judge", {**JUDGE, "checker": "kind"}, "checker"),
        ("judge", {**JUDGE, "tests": [{"input": "1"}]}, "tests.0.output: Field required"),
    ],
)
def test_a_bad_request_is_refused_with_what_to_mend(
    http: TestClient, runner: FakeRunner, path: str, body: dict[str, object], says: str
) -> None:
    answer = http.post(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM_JSON)
    assert says in answer.json()["detail"]
    assert len(answer.content) < 2_000, "what was sent is not sent back"
    assert runner.requests == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"no json", 422),
        (b"[" * 100_000, 400),
        (b'{"code": "\\ud800", "inputs": ["1"]}', 422),
        (b'{"code": "x", "inputs": [' + b"9" * 5_000 + b"]}", 400),
        (b"x" * (contract.MAX_BODY_BYTES + 1), 413),
    ],
    ids=["no JSON", "deep", "half a character", "a huge number", "too large"],
)
def test_a_body_that_cannot_be_read_is_refused(http: TestClient, content: bytes, status: int) -> None:
    answer = http.post("/v1/execute", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_JSON)
    assert http.get("/healthz").status_code == 200


# ---------------------------------------------------------------- facts


def test_environment(http: TestClient) -> None:
    found = http.get("/v1/environment").json()
    assert found["languages"] == ["python"]
    assert found["packages"] == {"numpy": "2.0"}
    assert (found["isolation"], found["jobs"]) == ("namespaces", 2)
    assert found["limits"]["default"] == Limits().model_dump()
    assert found["limits"]["maximum"] == {"time_s": 60, "memory_mb": 4096, "output_kb": 16_384}
    assert found["sizes"]["inputs"] == contract.MAX_INPUTS


def test_health_tells_the_isolation(http: TestClient) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok", "isolation": "namespaces"}


def test_metrics_count_every_run_however_it_was_asked_for(http: TestClient, runner: FakeRunner) -> None:
    runner.answer = lambda code, text: Run(status=RunStatus(text), cpu_s=0.25, wall_s=0.5)
    http.post("/v1/execute", json={"code": "x", "inputs": ["ok", "time_limit"]})
    http.post("/v1/execute-many", json={"programs": ["x", "y"], "inputs": ["ok"]})
    http.post("/v1/judge", json={"code": "x", "tests": [{"input": "forbidden", "output": ""}]})
    families = text_string_to_metric_families(http.get("/metrics").text)
    samples = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert samples["atlas_sandbox_isolation_info", "namespaces"] == 1
    statuses = {key[1]: value for key, value in samples.items() if key[0] == "atlas_sandbox_runs_total"}
    assert statuses == {"ok": 3, "time_limit": 1, "forbidden": 1}
    assert samples["atlas_sandbox_run_cpu_seconds_sum",] == 1.25
    assert samples["atlas_sandbox_run_wall_seconds_count",] == 5
    assert (samples["atlas_sandbox_slots",], samples["atlas_sandbox_slots_busy",]) == (2, 1)
    assert samples["atlas_sandbox_fork_server_restarts_total",] == 3
    assert samples["atlas_sandbox_retried_runs_total",] == 4
