"""The executor's client: what it asks again, what it gives up on, and how long it waits; and the fake."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from atlas import executor
from atlas.contracts import Limits
from atlas.errors import ExecutorError
from atlas.executor import (
    ExecuteManyRequest,
    ExecuteManyResponse,
    ExecuteRequest,
    ExecuteResponse,
    ExecutorClient,
    Run,
    RunStatus,
)
from atlas.executor_fake import FakeExecutor


def ok(output: str) -> Run:
    return Run(status=RunStatus.OK, output=output, wall_s=0.5)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "RETRY_DELAYS_S", (0.0, 0.0))


REQUEST = ExecuteRequest(code="x", inputs=("1",))
ANSWER = ExecuteResponse(runs=(ok("1"),), isolation="x").model_dump_json()


async def test_client_asks_again_when_the_connection_fails(quick: None) -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        if len(seen) < 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, text=ANSWER)

    async with ExecutorClient("http://e", transport=httpx.MockTransport(handle)) as client:
        assert (await client.execute(REQUEST)).runs[0].output == "1"
    assert seen == ["/v1/execute"] * 3


async def test_client_gives_up_with_an_executor_error(quick: None, tmp_path: Path) -> None:
    async with ExecutorClient(f"unix:{tmp_path}/none.sock") as client:
        with pytest.raises(ExecutorError, match="cannot reach"):
            await client.execute(REQUEST)
        assert "cannot reach" in (await client.ready() or "")


async def test_a_client_closed_while_it_waits_to_ask_again_is_an_executor_error(quick: None) -> None:
    closing: list[asyncio.Task[None]] = []

    def fail(_: httpx.Request) -> httpx.Response:
        closing.append(asyncio.get_running_loop().create_task(client.aclose()))
        raise httpx.ConnectError("gone")

    client = ExecutorClient("http://executor", transport=httpx.MockTransport(fail))
    with pytest.raises(ExecutorError, match="closed"):
        await client.execute(REQUEST)


async def test_client_does_not_repeat_a_refused_request(quick: None) -> None:
    seen: list[int] = []

    def handle(_: httpx.Request) -> httpx.Response:
        seen.append(1)
        return httpx.Response(422, text="code: too long")

    async with ExecutorClient("http://e", transport=httpx.MockTransport(handle)) as client:
        with pytest.raises(ExecutorError, match="too long") as caught:
            await client.execute(REQUEST)
    assert not caught.value.retryable
    assert len(seen) == 1


MANY = ExecuteManyRequest(programs=("a", "b"), inputs=("1", "2"), limits=Limits(time_s=1))


async def test_client_asks_for_many_programs_at_once() -> None:
    answer = ExecuteManyResponse(runs=((ok("a1"), ok("a2")), (ok("b1"), ok("b2"))), isolation="x")
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=answer.model_dump_json())

    async with ExecutorClient("http://e", transport=httpx.MockTransport(handle)) as client:
        assert await client.execute_many(MANY) == answer
    (request,) = asked
    assert request.url.path == "/v1/execute-many"
    assert ExecuteManyRequest.model_validate_json(request.content) == MANY


async def test_client_refuses_another_programs_answer() -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="{}")

    async with ExecutorClient("http://e", transport=httpx.MockTransport(handle)) as client:
        with pytest.raises(ExecutorError, match="answered something else"):
            await client.execute(REQUEST)


@pytest.mark.parametrize("time_s", [0.1, 1, 6, 60])
async def test_client_waits_as_long_as_an_honest_executor_may_need(time_s: float) -> None:
    """Every run to its wall limit, held up as long as may be, made twice, one after another."""
    limits, waited = Limits(time_s=time_s), []
    wall_s, patience, tries = 2 * time_s + 2, 5, 2

    def handle(request: httpx.Request) -> httpx.Response:
        waited.append(request.extensions["timeout"]["read"])
        return httpx.Response(422)

    async with ExecutorClient("http://e", transport=httpx.MockTransport(handle)) as client:
        with pytest.raises(ExecutorError):
            await client.execute(ExecuteRequest(code="x", inputs=("",) * 7, limits=limits))
        with pytest.raises(ExecutorError):
            await client.execute_many(
                ExecuteManyRequest(programs=("x",) * 3, inputs=("",) * 7, limits=limits)
            )
    assert waited[0] > 7 * tries * patience * wall_s
    assert waited[1] > 3 * 7 * tries * patience * wall_s


@pytest.mark.parametrize(
    ("answer", "problem", "isolation"),
    [
        (httpx.Response(200, json={"status": "ok", "isolation": "pod"}), None, "pod"),
        (httpx.Response(503), "HTTP 503", ""),
        (httpx.Response(200, json={"status": "ok"}), "is not a sandbox executor", ""),
        (httpx.Response(200, json=["ok"]), "is not a sandbox executor", ""),
        (httpx.Response(200, text="hello"), "is not a sandbox executor", ""),
    ],
)
async def test_client_knows_the_isolation_of_a_ready_executor(
    answer: httpx.Response, problem: str | None, isolation: str
) -> None:
    async with ExecutorClient("http://e", transport=httpx.MockTransport(lambda _: answer)) as client:
        found = await client.ready()
        assert (found is None) if problem is None else (problem in str(found))
        assert client.isolation == isolation


async def test_the_fake_answers_many_programs_as_the_executor_does() -> None:
    fake = FakeExecutor(lambda code, text: ok(code + text))
    response = await fake.execute_many(MANY)
    assert [[run.output for run in runs] for runs in response.runs] == [["a1", "a2"], ["b1", "b2"]]
    assert [request.code for request in fake.requests] == ["a", "b"]
    assert {request.limits for request in fake.requests} == {MANY.limits}


def test_an_input_is_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MAX_INPUT_BYTES", 10)
    ExecuteRequest(code="x", inputs=("1" * 10, "é" * 5))
    for text in ("1" * 11, "é" * 6):
        with pytest.raises(ValidationError, match="at most 10 bytes"):
            ExecuteRequest(code="x", inputs=("1", text))
