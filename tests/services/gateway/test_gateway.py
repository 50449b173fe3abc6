"""The gateway's REST API, on a real Redis and a model server that only says its name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis
from httpx_sse import aconnect_sse

from atlas.config import Settings
from atlas.contracts import Example
from atlas.events import DeadlineReached
from atlas.journal import Journal
from atlas.policy import POLICIES
from atlas.problem_json import MAX_BODY_BYTES
from services.gateway import stream
from services.gateway.app import create
from tests.support.gateway_bench import client_of, is_problem, served

PROBLEM = {"statement": "Double it.", "examples": [{"input": "2", "output": "4"}]}
BODY: dict[str, Any] = {"problem": PROBLEM, "policy": "A"}


async def submitted(gateway: httpx.AsyncClient, **more: Any) -> str:
    answer = await gateway.post("/v1/tasks", json={**BODY, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


# ---------------------------------------------------------------- submitting


async def test_a_task_is_submitted_and_looked_at(gateway: httpx.AsyncClient, journal: Journal) -> None:
    answer = await gateway.post("/v1/tasks", json={**BODY, "seed": 5, "priority": "p0", "deadline_s": 9})
    assert answer.status_code == 202
    task = answer.json()
    assert task["status"] == "running"
    assert task["model"] == "smol"
    assert answer.headers["location"] == f"/v1/tasks/{task['id']}"
    assert (await gateway.get(answer.headers["location"])).json() == task
    event = (await journal.state(task["id"])).task
    assert (event.policy.seed, event.priority, event.deadline_s) == (5, "p0", 9)
    assert await journal.redis.xlen("{atlas}:queue:planner:p0") == 1


async def test_a_key_makes_submitting_twice_one_task(gateway: httpx.AsyncClient, journal: Journal) -> None:
    headers = {"Idempotency-Key": "run1/q7"}
    answers = await asyncio.gather(*(gateway.post("/v1/tasks", json=BODY, headers=headers) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await journal.redis.xlen("{atlas}:queue:planner:p1") == 1
    other = await gateway.post("/v1/tasks", json={**BODY, "policy": "full", "seed": 1}, headers=headers)
    is_problem(other, 409, "Idempotency-Key", "policy")
    assert (await gateway.post("/v1/tasks", json=BODY, headers={"Idempotency-Key": "b"})).status_code == 202


async def test_a_key_still_finds_its_task_when_the_gateways_own_deadline_has_changed(
    redis_url: str, llama_address: str
) -> None:
    headers = {"Idempotency-Key": "run1/q8"}
    for seconds, status in ((60, 202), (90, 200)):
        settings = Settings(redis_url=redis_url, llama_url=llama_address, task_deadline_seconds=seconds)
        async with client_of(create(settings)) as client:
            answer = await client.post("/v1/tasks", json=BODY, headers=headers)
            assert answer.status_code == status
            other = {**BODY, "deadline_s": 61}
            is_problem(await client.post("/v1/tasks", json=other, headers=headers), 409, "deadline_s")


async def test_examples_that_only_the_statement_shows_are_run(
    gateway: httpx.AsyncClient, journal: Journal
) -> None:
    problem = {"statement": "f(2) returns 4", "kind": "function", "entry_point": "f"}
    body = {"problem": problem, "policy": {"name": "mine"}}
    headers = {"Idempotency-Key": "shown"}
    for status in (202, 200):
        answer = await gateway.post("/v1/tasks", json=body, headers=headers)
        assert answer.status_code == status
    asked = (await journal.state(answer.json()["id"])).task.problem
    assert asked.examples == (Example(input="2", output="4"),)
    assert asked.examples_in_statement

    blind = {**body, "policy": {"name": "mine", "statement_examples": False}}
    task = (await gateway.post("/v1/tasks", json=blind)).json()["id"]
    assert (await journal.state(task)).task.problem.examples == ()
    listed = {**body, "problem": {**problem, "examples": [{"input": "3", "output": "9"}]}}
    task = (await gateway.post("/v1/tasks", json=listed)).json()["id"]
    found = (await journal.state(task)).task.problem
    assert (found.examples, found.examples_in_statement) == ((Example(input="3", output="9"),), False)


async def test_an_unknown_policy_is_answered_with_the_names(gateway: httpx.AsyncClient) -> None:
    is_problem(await gateway.post("/v1/tasks", json={**BODY, "policy": "Z"}), 404, "'Z'", "A", "full")
    names = [policy["name"] for policy in (await gateway.get("/v1/policies")).json()]
    assert names == list(POLICIES)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**BODY, "problem": {**PROBLEM, "statement": ""}}, "body.problem.statement"),
        ({**BODY, "problem": {**PROBLEM, "kind": "choice"}}, "body.problem"),
        ({**BODY, "problem": {**PROBLEM, "kind": "steps"}}, "body.problem"),
        ({**BODY, "problem": {**PROBLEM, "kind": "poem"}}, "body.problem.kind"),
        ({**BODY, "problem": {**PROBLEM, "kind": "function"}}, "body.problem"),
        ({**BODY, "problem": {**PROBLEM, "hidden_tests": []}}, "body.problem.hidden_tests"),
        ({**BODY, "problem": {**PROBLEM, "examples": [{"input": "1"}]}}, "body.problem.examples.0.output"),
        ({**BODY, "problem": {**PROBLEM, "limits": {"time_s": 1e9}}}, "body.problem.limits.time_s"),
        ({**BODY, "problem": {**PROBLEM, "statement": "\ud800"}}, "body.problem.statement"),
        ({**BODY, "seed": -1}, "body.seed"),
        ({**BODY, "priority": "p9"}, "body.priority"),
        ({**BODY, "deadline_s": 0}, "body.deadline_s"),
        ({**BODY, "policy": {"name": "mine", "k": 0}}, "body.policy.Policy.k"),
        ({"policy": "A"}, "body.problem"),
        ([], "body"),
    ],
)
async def test_bad_input_is_answered_with_its_field(
    gateway: httpx.AsyncClient, body: Any, field: str
) -> None:
    answer = await gateway.post(
        "/v1/tasks", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    found = is_problem(answer, 422, field)
    assert field in [error["field"] for error in found["errors"]]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("choice", "choices"), ("steps", "step"), ("function", "entry_point"), ("riddle", "kind")],
)
async def test_a_kind_without_what_it_needs_is_refused_with_the_reason(
    gateway: httpx.AsyncClient, kind: str, word: str
) -> None:
    answer = await gateway.post("/v1/tasks", json={**BODY, "problem": {**PROBLEM, "kind": kind}})
    is_problem(answer, 422, word)


async def test_a_body_that_is_not_json_is_refused(gateway: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    for content in (b"{", b"", b'{"a": NaN'):
        is_problem(await gateway.post("/v1/tasks", content=content, headers=headers), 422)
    is_problem(await gateway.post("/v1/tasks", content=b"\xff\xfe{", headers=headers), 400)


async def test_too_large_a_body_is_refused_said_or_not(gateway: httpx.AsyncClient) -> None:
    large = json.dumps({**BODY, "padding": "x" * MAX_BODY_BYTES}).encode()
    headers = {"content-type": "application/json"}
    is_problem(await gateway.post("/v1/tasks", content=large, headers=headers), 413, f"{MAX_BODY_BYTES:,}")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    chunked = await gateway.post("/v1/tasks", content=pieces(), headers=headers)
    assert "content-length" not in chunked.request.headers
    is_problem(chunked, 413, f"{MAX_BODY_BYTES:,}")
    for length in ("x", "\u00b2"):
        odd = {**headers, "content-length": length.encode("latin-1")}
        is_problem(await gateway.post("/v1/tasks", content=b"{}", headers=odd), 413)


# ---------------------------------------------------------------- looking


async def test_unknown_tasks_and_routes_are_404(gateway: httpx.AsyncClient) -> None:
    for path in ("/v1/tasks/none", "/v1/tasks/none/events", "/v1/tasks/none/journal"):
        is_problem(await gateway.get(path), 404, "none")
    is_problem(await gateway.post("/v1/tasks/none/cancel"), 404, "none")
    is_problem(await gateway.get("/v2"), 404)
    is_problem(await gateway.delete("/v1/tasks"), 405)


async def test_tasks_are_listed_in_pages_newest_first(gateway: httpx.AsyncClient) -> None:
    made = [await submitted(gateway) for _ in range(5)]
    seen: list[str] = []
    before: dict[str, float] = {}
    while True:
        page = (await gateway.get("/v1/tasks", params={"limit": 2, **before})).json()
        seen += [task["id"] for task in page["tasks"]]
        if page["next_before"] is None:
            break
        before = {"before": page["next_before"]}
    assert seen == made[::-1]
    for query in ("limit=0", "limit=201", "before=x", "before=nan", "before=inf"):
        is_problem(await gateway.get(f"/v1/tasks?{query}"), 422, f"query.{query.split('=')[0]}")


async def test_cancelling_ends_a_task_once(gateway: httpx.AsyncClient, journal: Journal) -> None:
    task = await submitted(gateway)
    for _ in range(2):
        answer = await gateway.post(f"/v1/tasks/{task}/cancel")
        assert answer.status_code == 200
        assert answer.json()["status"] == "cancelled"
    types = [entry.event.type for entry in await journal.read(task)]
    assert types.count("TaskCancelled") == 1


async def test_an_ended_task_cannot_be_cancelled(gateway: httpx.AsyncClient, journal: Journal) -> None:
    task = await submitted(gateway)
    await journal.record(task, DeadlineReached(), once="deadline")
    answer = (await gateway.post(f"/v1/tasks/{task}/cancel")).json()
    assert answer["status"] == "failed"
    assert "deadline" in answer["error"]
    assert answer["deadline_reached"] is True


async def test_the_journal_is_json_lines(gateway: httpx.AsyncClient) -> None:
    task = await submitted(gateway)
    answer = await gateway.get(f"/v1/tasks/{task}/journal")
    assert answer.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["event"]["type"] for line in lines] == ["TaskSubmitted", "CommandsIssued"]


# ---------------------------------------------------------------- streaming


async def events(client: httpx.AsyncClient, task: str, after: str | None = None) -> list[tuple[str, str]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    async with aconnect_sse(client, "GET", f"/v1/tasks/{task}/events", headers=headers) as source:
        assert source.response.status_code == 200
        return [(sse.id, sse.event) async for sse in source.aiter_sse()]


ALL = [("1", "TaskSubmitted"), ("2", "CommandsIssued"), ("3", "TaskCancelled"), ("4", "CommandsRevoked")]


async def test_events_are_streamed_as_they_come_and_resumed(
    redis_url: str, llama_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_MS", 100)
    app = create(Settings(redis_url=redis_url, llama_url=llama_address))
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        task = await submitted(client)
        seen: list[str] = []
        async with aconnect_sse(client, "GET", f"/v1/tasks/{task}/events") as source:
            async for sse in source.aiter_sse():
                seen.append(sse.id)
                assert json.loads(sse.data)["seq"] == int(sse.id)
                if sse.id == "2":  # only now does the rest happen
                    await client.post(f"/v1/tasks/{task}/cancel")
        assert seen == ["1", "2", "3", "4"]
        for after in range(5):
            assert await events(client, task, str(after)) == ALL[after:]
        assert await events(client, task) == ALL
        assert await events(client, task, "99") == []


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "", "\u00b2", "9" * 30, "9" * 5000])
async def test_a_bad_last_event_id_is_refused(gateway: httpx.AsyncClient, after: str) -> None:
    task = await submitted(gateway)
    headers = {"Last-Event-ID": after.encode("latin-1")}
    is_problem(await gateway.get(f"/v1/tasks/{task}/events", headers=headers), 422, "Last-Event-ID")


# ---------------------------------------------------------------- when something is away


async def test_health_readiness_and_metrics(gateway: httpx.AsyncClient) -> None:
    assert (await gateway.get("/healthz")).json() == {"status": "ok", "service": "gateway"}
    ready = await gateway.get("/readyz")
    assert (ready.status_code, ready.json()["problems"]) == (200, {})
    metrics = await gateway.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "process_cpu_seconds_total" in metrics.text


async def test_without_the_model_server_nothing_is_half_submitted(
    redis_url: str, unused_tcp_port: int, llama_address: str
) -> None:
    gone = f"http://127.0.0.1:{unused_tcp_port}"
    async with client_of(create(Settings(redis_url=redis_url, llama_url=gone))) as gateway:
        ready = await gateway.get("/readyz")
        assert ready.status_code == 503
        assert "cannot be reached" in ready.json()["problems"]["llama-server"]
        headers = {"Idempotency-Key": "k"}
        is_problem(await gateway.post("/v1/tasks", json=BODY, headers=headers), 503)
        is_problem(await gateway.post("/v1/tasks", json={**BODY, "policy": "Z"}), 404, "full")
        assert (await gateway.get("/v1/tasks")).json()["tasks"] == []
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*") == []
    async with client_of(create(Settings(redis_url=redis_url, llama_url=llama_address))) as gateway:
        assert (await gateway.post("/v1/tasks", json=BODY, headers=headers)).status_code == 202
    async with client_of(create(Settings(redis_url=redis_url, llama_url=gone))) as gateway:
        again = await gateway.post("/v1/tasks", json=BODY, headers=headers)
        assert again.status_code == 200, "a task that is there needs no model server to be found"


async def test_without_redis_it_is_unready_and_says_so(unused_tcp_port: int, llama_address: str) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{unused_tcp_port}", llama_url=llama_address)
    app = create(settings)
    async with client_of(app) as gateway:
        app.state.runtime._journal.redis.connection_pool.connection_kwargs["retry"]._retries = 0
        ready = await gateway.get("/readyz")
        assert ready.status_code == 503
        assert list(ready.json()["problems"]) == ["redis"]
        assert (await gateway.get("/healthz")).status_code == 200
        is_problem(await gateway.get("/v1/tasks/t"), 503, "try again")


async def test_a_bug_is_a_500_that_leaks_nothing(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("services.gateway.tasks.view", broken)
    answer = await gateway.post("/v1/tasks", json=BODY)
    assert "secret" not in answer.text
    is_problem(answer, 500)
