"""The deadline sweeper: every task is told once, however many sweep, and a sick one stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from atlas.cancellation import cancel
from atlas.contracts import Problem
from atlas.events import Pins, TaskFailed, TaskSubmitted
from atlas.journal import Journal
from atlas.policy import A
from atlas.redis_client import connect
from services.gateway.deadlines import sweep

SOON = TaskSubmitted(
    problem=Problem(statement="s"),
    policy=A,
    pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake"),
    deadline_s=0.001,
)


@pytest.fixture
async def journals(redis_url: str) -> AsyncIterator[list[Journal]]:
    journals = [Journal(connect(redis_url)) for _ in range(3)]
    yield journals
    for journal in journals:
        await journal.redis.aclose()


@asynccontextmanager
async def sweeping(*journals: Journal) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(sweep(journal, period_s=0.01)) for journal in journals]
    yield tasks
    with suppress(asyncio.CancelledError):
        await cancel(*tasks)


async def types(journal: Journal, task: str) -> list[str]:
    return [entry.event.type for entry in await journal.read(task)]


async def swept(journal: Journal, *tasks: str) -> None:
    for _ in range(300):
        if all([(await journal.state(task)).closed for task in tasks]):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([await types(journal, task) for task in tasks])


async def test_two_sweepers_tell_each_due_task_once(journals: list[Journal]) -> None:
    due = [f"t{i}" for i in range(10)]
    for task in due:
        await journals[0].submit(task, SOON)
    await journals[0].submit("later", SOON.model_copy(update={"deadline_s": 600}))
    async with sweeping(*journals[1:]):
        await swept(journals[0], *due)
        await asyncio.sleep(0.05)
    for task in due:
        assert (await types(journals[0], task)).count("DeadlineReached") == 1
        closed = (await journals[0].state(task)).closed
        assert isinstance(closed, TaskFailed)
        assert not closed.infrastructure
    assert await types(journals[0], "later") == ["TaskSubmitted", "CommandsIssued"]
    assert await journals[0].due() == []


async def test_a_deadline_that_passed_while_all_was_down_is_told_from_one_that_was_kept(
    journals: list[Journal],
) -> None:
    await journals[0].submit("t", SOON)
    hour_ago = (await journals[0].redis.time())[0] - 3600
    await journals[0].redis.zadd("{atlas}:deadlines", {"t": hour_ago})
    async with sweeping(journals[1]):
        await swept(journals[0], "t")
    state = await journals[0].state("t")
    assert state.deadline_missed
    assert isinstance(state.closed, TaskFailed)
    assert state.closed.infrastructure


async def test_a_sick_journal_does_not_stop_the_sweeper(journals: list[Journal]) -> None:
    await journals[0].redis.zadd("{atlas}:deadlines", {"a-ghost": 1})
    await journals[0].submit("sick", SOON)
    await journals[0].redis.xadd("{atlas}:journal:sick", {"t": "1", "e": '{"type":"FromTheFuture"}'}, "3-0")
    await journals[0].submit("t", SOON)
    async with sweeping(journals[1]) as tasks:
        await swept(journals[0], "t")
        assert not tasks[0].done()
