"""What an older release left in Redis, gone on with by this one; and what a newer one would leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from atlas import redis_keys, upcasting
from atlas.api_keys import ApiKeys
from atlas.cancellation import cancel
from atlas.commands import Execute, Generate, command_of
from atlas.contracts import Problem
from atlas.dead_letters import DeadLetters
from atlas.errors import SchemaTooNew
from atlas.events import Entry, ModelCallFinished, Pins, TaskDecided, TaskSubmitted
from atlas.executor_fake import FakeExecutor
from atlas.journal import Delivery, Journal
from atlas.lens.table import Shelf
from atlas.llama_fake import FakeModelServer
from atlas.policy import A
from atlas.redis_client import connect
from atlas.state import TaskState, fold
from atlas.upcasting import SCHEMA_VERSION, UNVERSIONED, upcast_event
from atlas.worker import Worker
from services.lens.energy import Scorer
from services.lens.worker import handler as lens
from services.planner.worker import handler as planner
from services.repair.worker import handler as repair
from services.sandbox.worker import handler as sandbox
from tests.support.small_stack import doubling, right

# All that a stack of release 1 held: a task that had ended, and one that was killed with a command queued.
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "release-1.json").read_text())
DONE, HALF = RECORDED["tasks"]["done"], RECORDED["tasks"]["half"]


def recorded_entries(task: str) -> list[dict[str, Any]]:
    """A journal of release 1 as it was exported: without versions."""
    rows = RECORDED["keys"][redis_keys.journal(task)]["value"]
    return [
        {"seq": int(id_.split("-")[0]), "time": float(f["t"]), "event": json.loads(f["e"])} for id_, f in rows
    ]


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    yield journal
    await journal.redis.aclose()


async def restore(redis: Redis) -> None:
    """Put everything back as it was, the deadlines as far away as they were."""
    for name, stored in RECORDED["keys"].items():
        value = stored["value"]
        if stored["type"] == "stream":
            for id_, fields in value:
                await redis.xadd(name, fields, id=id_)
        elif stored["type"] == "hash":
            await redis.hset(name, mapping=value)
        elif stored["type"] == "set":
            await redis.sadd(name, *value)
        elif name == redis_keys.DEADLINES:
            await redis.zadd(name, {member: time.time() + 600 for member, _ in value})
        else:
            await redis.zadd(name, dict(value))


def test_a_journal_of_release_1_folds() -> None:
    raw = recorded_entries(DONE)
    assert any(each["event"].get("slot") is not None for each in raw), "there is something to upcast"
    entries = [Entry.model_validate_json(json.dumps(each)) for each in raw]
    state = fold(TaskState(), entries)
    assert isinstance(state.closed, TaskDecided)
    calls = [entry.event for entry in entries if isinstance(entry.event, ModelCallFinished)]
    assert calls
    assert {(call.server, call.slot) for call in calls} == {(None, None)}
    assert state.server is None
    assert {entry.version for entry in entries} == {SCHEMA_VERSION}
    again = [Entry.model_validate_json(entry.model_dump_json()) for entry in entries]
    assert again == entries, "what this release exports needs no upcasting"


def test_only_what_the_version_says_is_changed() -> None:
    call = {"type": "ModelCallFinished", "server": "here:1", "slot": 3}
    assert upcast_event(call, SCHEMA_VERSION) == call
    assert upcast_event(call, UNVERSIONED) == {**call, "server": None, "slot": None}
    for other in recorded_entries(DONE):
        if other["event"]["type"] != "ModelCallFinished":
            assert upcast_event(other["event"], UNVERSIONED) == other["event"]


def test_steps_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcasting, "SCHEMA_VERSION", 4)
    steps = {1: lambda c: {**c, "n": 1}, 3: lambda c: {**c, "n": c.get("n", 0) * 2 + 1}}
    monkeypatch.setattr(upcasting, "COMMANDS", steps)
    assert command_of({"kind": "make_plans", "id": "p"}, 1).model_dump()["n"] == 3
    assert command_of({"kind": "make_plans", "id": "p", "n": 7}, 2).model_dump()["n"] == 15
    assert command_of({"kind": "make_plans", "id": "p", "n": 7}, 4).model_dump()["n"] == 7


async def test_a_task_that_an_older_release_was_at_is_ended_by_this_one(journal: Journal) -> None:
    await restore(journal.redis)
    before = await journal.read(HALF)
    model = FakeModelServer(right)
    handlers = {
        "planner": planner(model, slots=2),
        "lens": lens(model, Scorer(Shelf(()))),
        "sandbox": sandbox(FakeExecutor(doubling)),
        "repair": repair(model),
    }
    workers = [asyncio.ensure_future(Worker(name, journal, each).run()) for name, each in handlers.items()]
    try:
        await asyncio.wait_for(_closed(journal), 20)
    finally:
        await cancel(*workers)
    entries = await journal.read(HALF)
    assert entries[: len(before)] == before, "what was there stays"
    fold(TaskState(), entries)  # nothing twice: the queued command was answered once
    stored = await journal.redis.xrange(redis_keys.journal(HALF))
    assert [fields.get("v") for _, fields in stored] == [None] * len(before) + [str(SCHEMA_VERSION)] * (
        len(stored) - len(before)
    )


async def _closed(journal: Journal) -> None:
    while not (await journal.state(HALF)).closed:  # noqa: ASYNC110 - other tasks, over Redis
        await asyncio.sleep(0.02)


async def test_keys_and_lists_of_an_older_release_keep_working(journal: Journal) -> None:
    await restore(journal.redis)
    keys = ApiKeys(journal.redis)
    assert await keys.valid(RECORDED["api_key"])
    assert [key.name for key in await keys.list()] == ["old"]
    assert {task for task, _ in await journal.tasks(10)} == {DONE, HALF}
    known = {redis_keys.API_KEYS, redis_keys.DEADLINES, redis_keys.TASKS}
    known |= {name(task) for task in (DONE, HALF) for name in (redis_keys.journal, redis_keys.marks)}
    known |= {
        key for service in ("planner", "lens", "sandbox", "repair") for key in redis_keys.queues(service)
    }
    assert set(RECORDED["keys"]) == known, "the names that release 1 gave its keys"


# ---------------------------------------------------------------- what a newer release writes


async def submitted(journal: Journal) -> None:
    pins = Pins(pipeline="0", prompts_sha256="0" * 64, model="m")
    event = TaskSubmitted(problem=Problem(statement="s"), policy=A, pins=pins, deadline_s=600)
    await journal.submit("t", event)


async def test_a_command_of_a_newer_release_is_left_to_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.open_queues("planner")
    with monkeypatch.context() as newer:
        newer.setattr("atlas.journal.SCHEMA_VERSION", SCHEMA_VERSION + 1)
        await submitted(journal)
    for _ in range(8):  # more often than a poison pill is tried
        with pytest.raises(SchemaTooNew, match="upgrade this service"):
            await journal.claim("planner", "old", block_ms=10)
    monkeypatch.setattr(upcasting, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    delivery = await journal.claim("planner", "new", block_ms=10)
    assert delivery is not None
    assert isinstance(delivery.command, Generate)
    assert delivery.deliveries <= 2, "the older worker's tries are not counted"


async def test_a_task_with_events_of_a_newer_release_is_left_to_it_too(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.open_queues("planner")
    await submitted(journal)
    seen: list[Delivery] = []

    class Watched(Journal):
        async def give_back(self, delivery: Delivery) -> None:
            seen.append(delivery)
            await super().give_back(delivery)

    (entry_id, fields), *_ = await journal.redis.xrange(redis_keys.journal("t"))
    await journal.redis.delete(redis_keys.journal("t"))
    await journal.redis.xadd(redis_keys.journal("t"), {**fields, "v": SCHEMA_VERSION + 1}, id=entry_id)
    old = Watched(journal.redis)
    worker = asyncio.ensure_future(Worker("planner", old, planner(FakeModelServer(right), 1)).run())
    while not seen:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await cancel(worker)
    claimed = await journal.claim("planner", "new", block_ms=10)
    assert claimed is not None
    assert claimed.deliveries <= 2
    with pytest.raises(SchemaTooNew):
        await journal.read("t")


async def test_dead_letters_say_what_version_their_command_is_of(journal: Journal) -> None:
    old = {"command": Execute(id="x", candidate="c0").model_dump(), "queue": "q", "detail": "d"}
    await journal.redis.xadd(redis_keys.DEAD, {"task": "t", "letter": json.dumps(old)})
    newer = {**old, "version": SCHEMA_VERSION + 1}
    letters = DeadLetters(journal.redis)
    assert [letter.command.id for letter in (await letters.list(5)).letters] == ["x"]
    await journal.redis.xadd(redis_keys.DEAD, {"task": "t", "letter": json.dumps(newer)})
    with pytest.raises(SchemaTooNew):
        await letters.list(5)
