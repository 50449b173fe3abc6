"""The sandbox worker's app tells its executor's isolation, and passes programs on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from atlas.config import Settings
from atlas.executor import ExecutorClient, Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.service import Runtime, create_service
from services.sandbox import app as sandbox


class ScriptedExecutor:
    """Answers /readyz with `level`, or not at all while it is empty."""

    def __init__(self) -> None:
        self.level = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.level:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"status": "ok", "isolation": self.level})


@pytest.fixture
def executor() -> ScriptedExecutor:
    return ScriptedExecutor()


@pytest.fixture
def http(executor: ScriptedExecutor) -> Iterator[TestClient]:
    async def setup(app: FastAPI, runtime: Runtime) -> None:
        client = ExecutorClient("http://e", transport=httpx.MockTransport(executor))
        runtime.stack.push_async_callback(client.aclose)
        runtime.checks["executor"] = sandbox.check_executor(client, runtime)

    with TestClient(create_service("sandbox", setup, Settings())) as client:
        yield client


def test_readyz_and_metrics_tell_the_isolation(http: TestClient, executor: ScriptedExecutor) -> None:
    unready = http.get("/readyz")
    assert (unready.status_code, "isolation" in unready.json()) == (503, False)
    for level in ("namespaces", "pod"):
        executor.level = level
        assert http.get("/readyz").json() == {
            "status": "ready",
            "service": "sandbox",
            "problems": {},
            "isolation": level,
        }
        lines = [ln for ln in http.get("/metrics").text.splitlines() if "isolation_info{" in ln]
        assert lines == [f'atlas_sandbox_isolation_info{{level="{level}"}} 1.0'], "only the one it has"


def test_programs_are_passed_on() -> None:
    app = sandbox.create(Settings())
    app.state.executor = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output=code + text))
    http = TestClient(app)  # not entered: no Redis is asked for
    one = http.post("/v1/execute", json={"code": "x", "inputs": ["1"]}).json()
    many = http.post("/v1/execute-many", json={"programs": ["a", "b"], "inputs": ["1"]}).json()
    assert [run["output"] for run in one["runs"]] == ["x1"]
    assert [[run["output"] for run in runs] for runs in many["runs"]] == [["a1"], ["b1"]]
    assert http.post("/v1/execute-many", json={"programs": [], "inputs": ["1"]}).status_code == 422
