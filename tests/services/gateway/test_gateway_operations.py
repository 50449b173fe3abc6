"""Status and dead letters over REST, on a real Redis; the client of `atlas/client.py` understands them."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from atlas.client import Gateway, GatewayRefused
from atlas.commands import SERVICES
from atlas.config import Settings
from atlas.journal import Journal
from atlas.model_facts import ModelFacts
from services.gateway.app import create
from tests.support.gateway_bench import client_of, is_problem, served
from tests.support.scripted_model import TEMPLATE, ScriptedModel

BODY = {
    "problem": {"statement": "Double it.", "examples": [{"input": "2", "output": "4"}]},
    "policy": "A",
    "seed": 7,
    "priority": "p0",
    "deadline_s": 77,
}


async def buried(gateway: httpx.AsyncClient, journal: Journal) -> tuple[str, str]:
    """Submit a task and bury its first command; return the ids of the task and the letter."""
    task = (await gateway.post("/v1/tasks", json=BODY)).json()["id"]
    await journal.open_queues("planner")
    delivery = await journal.claim("planner", "dies", block_ms=None)
    assert delivery
    await journal.bury(delivery)
    letters = (await gateway.get("/v1/dead-letters")).json()["letters"]
    return task, letters[-1]["id"]


async def test_status_counts_what_there_is(gateway: httpx.AsyncClient, journal: Journal) -> None:
    await buried(gateway, journal)
    await gateway.post("/v1/tasks", json=BODY)
    answer = await gateway.get("/v1/status")
    assert answer.status_code == 200
    status = answer.json()
    assert status["version"]
    assert (status["model"], status["problems"]) == ("smol", {})
    assert (status["open_tasks"], status["dead_letters"]) == (1, 1)
    assert [queue["service"] for queue in status["queues"]] == list(SERVICES)
    assert status["queues"][0] == {"service": "planner", "waiting": 1, "running": 0, "workers": 1}


async def test_status_says_when_the_model_server_is_away(redis_url: str, unused_tcp_port: int) -> None:
    settings = Settings(redis_url=redis_url, llama_url=f"http://127.0.0.1:{unused_tcp_port}")
    async with client_of(create(settings)) as gateway:
        status = (await gateway.get("/v1/status")).json()
    assert status["model"] is None
    assert "cannot be reached" in status["problems"]["llama-server"]


async def test_the_model_is_told_as_its_server_tells_it(redis_url: str) -> None:
    async with served(ScriptedModel(lambda *_: "").app()) as url:
        settings = Settings(redis_url=redis_url, llama_url=url, thinking_tags="<t> </t>")
        async with client_of(create(settings)) as gateway:
            facts = ModelFacts.model_validate((await gateway.get("/v1/model")).json())
    assert (facts.model, facts.chat_template, facts.build) == ("scripted", TEMPLATE, "b1")
    assert (facts.context_tokens, facts.slots, facts.thinking_tags) == (100_000, 4, "<t> </t>")
    assert [len(each.messages) for each in facts.rendered] == [1, 4]
    assert "And as a word?" in facts.rendered[1].prompt


async def test_a_retried_letter_is_one_new_task_and_no_letter(
    gateway: httpx.AsyncClient, journal: Journal
) -> None:
    task, letter = await buried(gateway, journal)
    shown = (await gateway.get(f"/v1/dead-letters/{letter}")).json()
    assert (shown["task"], shown["service"], shown["command"]["id"]) == (task, "planner", "generate:0")
    path = f"/v1/dead-letters/{letter}/retry"
    answers = await asyncio.gather(*(gateway.post(path) for _ in range(4)))
    answers.append(await gateway.post(path))  # and once more, when the letter is gone
    assert [answer.status_code for answer in answers] == [200] * 5
    (again,) = {answer.json()["id"] for answer in answers}
    assert again != task
    old, new = (await journal.state(task)).task, (await journal.state(again)).task
    assert new == old
    assert (new.policy.name, new.policy.seed, new.priority, new.deadline_s) == ("A", 7, "p0", 77)
    assert (await gateway.get(f"/v1/tasks/{task}")).json()["status"] == "failed"
    assert (await gateway.get("/v1/dead-letters")).json() == {"letters": [], "next_after": None}
    assert len((await gateway.get("/v1/tasks")).json()["tasks"]) == 2


async def test_a_letter_whose_task_is_gone_is_kept(gateway: httpx.AsyncClient, journal: Journal) -> None:
    text = '{"command": {"id": "execute:c0", "kind": "execute", "candidate": "c0"}, "queue": "q"}'
    letter = await journal.redis.xadd("{atlas}:dead", {"task": "gone", "letter": text})
    is_problem(await gateway.post(f"/v1/dead-letters/{letter}/retry"), 404, "no task 'gone'")
    assert (await gateway.get(f"/v1/dead-letters/{letter}")).status_code == 200


async def test_a_dropped_letter_is_gone(gateway: httpx.AsyncClient, journal: Journal) -> None:
    _, letter = await buried(gateway, journal)
    answer = await gateway.delete(f"/v1/dead-letters/{letter}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (f"/v1/dead-letters/{letter}", "/v1/dead-letters/nonsense"):
        is_problem(await gateway.get(path), 404, "no dead letter")
        is_problem(await gateway.delete(path), 404, "no dead letter")
        is_problem(await gateway.post(path + "/retry"), 404, "no dead letter")


async def test_letters_come_in_pages(gateway: httpx.AsyncClient, journal: Journal) -> None:
    made = [(await buried(gateway, journal))[1] for _ in range(3)]
    first = (await gateway.get("/v1/dead-letters?limit=2")).json()
    assert [letter["id"] for letter in first["letters"]] == made[:2]
    second = (await gateway.get("/v1/dead-letters", params={"limit": 2, "after": first["next_after"]})).json()
    assert [letter["id"] for letter in second["letters"]] == made[2:]
    assert second["next_after"] is None
    is_problem(await gateway.get("/v1/dead-letters?limit=0"), 422, "query.limit")
    is_problem(await gateway.get("/v1/dead-letters?after=x"), 404, "no dead letter")


async def test_the_client_speaks_the_same_language(
    redis_url: str, llama_address: str, gateway: httpx.AsyncClient, journal: Journal
) -> None:
    task, letter = await buried(gateway, journal)
    app = create(Settings(redis_url=redis_url, llama_url=llama_address))
    async with served(app) as url, Gateway(url, patience_s=5) as client:
        status = await client.status()
        assert (status.model, status.dead_letters) == ("smol", 1)
        assert [found.id for found in (await client.dead_letters()).letters] == [letter]
        assert (await client.dead_letter(letter)).task == task
        assert (await client.retry_letter(letter)).status == "running"
        with pytest.raises(GatewayRefused, match="no dead letter"):
            await client.drop_letter(letter)
        _, letter = await buried(gateway, journal)
        await client.drop_letter(letter)
        assert (await client.dead_letters()).letters == ()
