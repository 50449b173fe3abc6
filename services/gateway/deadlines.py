"""The sweeper: tells tasks whose time is up. Any number may run; the journal takes the first."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from atlas.events import DeadlineReached
from atlas.journal import Journal

log = logging.getLogger(__name__)


async def sweep(journal: Journal, period_s: float = 0.5) -> None:
    """Append DeadlineReached to every task that is due, for ever."""
    while True:
        try:
            for task, overdue_s in await journal.due():
                await _tell(journal, task, overdue_s)
        except RedisError as error:
            log.warning("deadline sweep waits: %s", error)
        await asyncio.sleep(period_s)


async def _tell(journal: Journal, task: str, overdue_s: float) -> None:
    try:
        await journal.record(task, DeadlineReached(overdue_s=overdue_s), once="deadline")
    except RedisError:
        raise
    except Exception:  # a journal that cannot be read must not keep the others waiting
        log.exception("%s: the deadline cannot be recorded", task)
