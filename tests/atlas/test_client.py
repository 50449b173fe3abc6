"""The gateway's client: idempotent submission, waiting across broken streams and restarts, clear errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from atlas import client
from atlas.api import SubmitRequest
from atlas.client import Gateway, GatewayRefused, GatewayUnreachable
from atlas.contracts import Problem
from atlas.errors import BadInput, Conflict, StartupError
from atlas.policy import POLICIES, A
from tests.support.scripted_gateway import Answer, ScriptedGateway, ended, entries, event, problem

REQUEST = SubmitRequest(problem=Problem(title="one", statement="Print 1."), policy=A)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_FIRST_S", 0.001)
    monkeypatch.setattr(client, "PAUSE_MOST_S", 0.01)


@pytest.fixture
def scripted() -> ScriptedGateway:
    return ScriptedGateway()


@pytest_asyncio.fixture
async def gateway(scripted: ScriptedGateway) -> AsyncIterator[Gateway]:
    async with Gateway("http://gateway", patience_s=0.2, transport=scripted.transport()) as opened:
        yield opened


async def test_the_same_key_is_the_same_task(gateway: Gateway) -> None:
    first, new = await gateway.submit(REQUEST, "run/one/0")
    again, new_again = await gateway.submit(REQUEST, "run/one/0")
    assert (new, new_again, first.id) == (True, False, again.id)
    with pytest.raises(Conflict, match="another problem"):
        await gateway.submit(REQUEST.model_copy(update={"seed": 5}), "run/one/0")


async def test_get_cancel_policies_and_pins(scripted: ScriptedGateway, gateway: Gateway) -> None:
    scripted.script["one"] = [ended(status="running", program=None)]
    task, _ = await gateway.submit(REQUEST, "k")
    assert (await gateway.get(task.id)).status == "running"
    assert (await gateway.cancel(task.id)).status == "cancelled"
    assert [policy.name for policy in await gateway.policies()] == list(POLICIES)
    assert (await gateway.pins(task.id)).model == "scripted"
    assert (await gateway.readiness()).state == "ready"


async def test_wait_takes_a_broken_stream_up_after_the_last_event(
    scripted: ScriptedGateway, gateway: Gateway
) -> None:
    scripted.script["one"] = [ended(status="running", program=None)]
    task, _ = await gateway.submit(REQUEST, "k")
    first = entries(scripted.tasks[task.id][2])[0]
    breaks = 2

    def hook(when: str, method: str, path: str) -> Answer | None:
        nonlocal breaks
        if when == "before" and path.endswith("/events"):
            if breaks:
                breaks -= 1
                parts = [event(first)] if breaks else []
                return Answer(200, [*parts, httpx.ReadError("cut")], "text/event-stream")
            request, view, submitted = scripted.tasks[task.id]
            scripted.tasks[task.id] = (request, view.model_copy(update={"status": "decided"}), submitted)
        return None

    scripted.hook = hook
    assert (await gateway.wait(task.id)).status == "decided"
    streams = [headers for _, path, headers in scripted.requests if path.endswith("/events")]
    assert [headers.get("last-event-id") for headers in streams] == [None, "1", "1"]


@pytest.mark.parametrize(
    "stream",
    [
        Answer(404, [b"no such page"], "text/html"),
        Answer(200, [b"<html>"], "text/html"),
        Answer(200, [httpx.ConnectError("refused")], "text/event-stream"),
        Answer(200, [], "text/event-stream"),
    ],
)
async def test_wait_without_a_stream_asks_for_the_task(
    scripted: ScriptedGateway, gateway: Gateway, stream: Answer
) -> None:
    scripted.script["one"] = [ended(status="running", program=None)]
    task, _ = await gateway.submit(REQUEST, "k")
    asked = 0

    def hook(when: str, method: str, path: str) -> Answer | None:
        nonlocal asked
        if path.endswith("/events"):
            return stream
        asked += when == "before"
        if asked == 3:
            request, view, submitted = scripted.tasks[task.id]
            scripted.tasks[task.id] = (request, view.model_copy(update={"status": "decided"}), submitted)
        return None

    scripted.hook = hook
    assert (await gateway.wait(task.id)).status == "decided"
    assert asked == 3


async def test_a_gateway_that_is_away_or_loading_is_asked_again(
    scripted: ScriptedGateway, gateway: Gateway
) -> None:
    failures = 0

    def hook(when: str, method: str, path: str) -> Answer | None:
        nonlocal failures
        if failures < 6:
            failures += 1
            if failures % 2:
                raise httpx.ConnectError("refused")
            return problem(503, "the model is loading")
        return None

    scripted.hook = hook
    _, new = await gateway.submit(REQUEST, "k")
    assert (new, failures) == (True, 6)
    assert scripted.began == {"one": 1}


async def test_patience_ends_with_the_last_reason(scripted: ScriptedGateway, gateway: Gateway) -> None:
    scripted.hook = lambda *_: problem(503, "the model is loading")
    with pytest.raises(GatewayUnreachable, match=r"GET /v1/tasks/x for 0 s: .*the model is loading"):
        await gateway.get("x")


async def test_refusals_say_why(scripted: ScriptedGateway, gateway: Gateway) -> None:
    with pytest.raises(GatewayRefused, match="404: no task 'x'"):
        await gateway.get("x")
    scripted.hook = lambda *_: Answer(500, [b"oops"], "text/plain")
    with pytest.raises(GatewayRefused, match="500: oops"):
        await gateway.get("x")
    scripted.hook = lambda *_: Answer(200, [b'{"id": "secret"}'])
    with pytest.raises(GatewayRefused, match="not a TaskView") as refused:
        await gateway.get("x")
    assert "secret" not in str(refused.value)
    scripted.hook = lambda *_: Answer(200, [b"{}"])
    with pytest.raises(GatewayRefused, match="not a list of policies"):
        await gateway.policies()


async def test_readiness_tells_absent_unready_and_strange(
    scripted: ScriptedGateway, gateway: Gateway
) -> None:
    def answers(answer: Answer | Exception) -> None:
        def hook(*_: str) -> Answer:
            if isinstance(answer, Exception):
                raise answer
            return answer

        scripted.hook = hook

    answers(httpx.ConnectError("refused"))
    assert (await gateway.readiness()).state == "absent"
    answers(httpx.ReadTimeout("slow"))
    assert (await gateway.readiness()).state == "unready"
    answers(Answer(503, [b'{"service": "gateway", "problems": {"redis": "Redis is away"}}']))
    found = await gateway.readiness()
    assert (found.state, found.detail) == ("unready", "Redis is away")
    for strange in (Answer(200, [b"<html>"], "text/html"), Answer(200, [b'{"service": "lens"}'])):
        answers(strange)
        with pytest.raises(StartupError, match="not an ATLAS gateway"):
            await gateway.readiness()


@pytest.mark.parametrize("url", ["", "gpu-box:8400", "ftp://x", "http://", "http://[::"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(BadInput, match="not the URL of a gateway"):
        Gateway(url)
