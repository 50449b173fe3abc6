"""How the queues stand, on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from histories import submission

from atlas import queues
from atlas.api import QueueStatus
from atlas.commands import SERVICES
from atlas.events import TaskCancelled
from atlas.journal import Journal
from atlas.policy import A
from atlas.queues import dead_letters, open_tasks, queue_status
from atlas.redis_client import connect


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    yield journal
    await journal.redis.aclose()


async def planner(journal: Journal) -> QueueStatus:
    found = await queue_status(journal.redis)
    assert tuple(status.service for status in found) == SERVICES
    assert all((s.waiting, s.running, s.workers) == (0, 0, 0) for s in found if s.service != "planner")
    return found[0]


async def test_commands_wait_run_and_are_gone(journal: Journal) -> None:
    assert await planner(journal) == QueueStatus(service="planner", waiting=0, running=0, workers=0)
    for task, priority in (("a", "p0"), ("b", "p1"), ("c", "p2")):
        await journal.submit(task, submission(A).model_copy(update={"priority": priority}))
    assert await planner(journal) == QueueStatus(service="planner", waiting=3, running=0, workers=0)
    await journal.open_queues("planner")
    first = await journal.claim("planner", "w1", block_ms=None)
    second = await journal.claim("planner", "w2", block_ms=None)
    assert first
    assert second
    assert await planner(journal) == QueueStatus(service="planner", waiting=1, running=2, workers=2)
    await journal.drop(first)
    await journal.bury(second)
    assert await planner(journal) == QueueStatus(service="planner", waiting=1, running=0, workers=2)
    assert await dead_letters(journal.redis) == 1


async def test_a_worker_that_went_silent_is_no_longer_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.open_queues("planner")
    await journal.submit("t", submission(A))
    await journal.claim("planner", "w", block_ms=None)
    assert (await planner(journal)).workers == 1
    monkeypatch.setattr(queues, "HEARD_MS", 0)
    assert await planner(journal) == QueueStatus(service="planner", waiting=0, running=1, workers=0)


async def test_open_tasks_are_those_that_have_not_ended(journal: Journal) -> None:
    for task in ("a", "b"):
        await journal.submit(task, submission(A))
    assert await open_tasks(journal.redis) == 2
    await journal.record("a", TaskCancelled(), once="cancel")
    assert await open_tasks(journal.redis) == 1
