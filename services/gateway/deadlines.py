"""The sweeper: tells tasks whose time is up. Any number may run; the journal takes the first."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from atlas.contracts import DeadlineReached
from atlas.journal import Journal

log = logging.getLogger(__name__)


async def sweep(journal: Journal, period_s: float = 0.5) -> None:
    """Append DeadlineReached to every task that is due, for ever."""
    while True:
        try:
            for task in await journal.due():
                await journal.record(task, DeadlineReached(), once="deadline")
        except RedisError as error:
            log.warning("deadline sweep waits: %s", error)
        await asyncio.sleep(period_s)
