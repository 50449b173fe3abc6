"""How the queues stand, for people: a snapshot that is out of date when it arrives."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from atlas.api import QueueStatus
from atlas.commands import SERVICES
from atlas.redis_keys import DEAD, DEADLINES, GROUP, queues

HEARD_MS = 60_000


async def queue_status(redis: Redis) -> tuple[QueueStatus, ...]:
    """Return each service's queues, their priorities taken together."""
    return tuple([await _of(redis, service) for service in SERVICES])


async def open_tasks(redis: Redis) -> int:
    """Return how many tasks have neither ended nor reached their deadline."""
    return int(await redis.zcard(DEADLINES))


async def dead_letters(redis: Redis) -> int:
    """Return how many commands were given up and are kept."""
    return int(await redis.xlen(DEAD))


async def _of(redis: Redis, service: str) -> QueueStatus:
    running = there = 0
    workers: set[str] = set()
    for queue in queues(service):
        there += int(await redis.xlen(queue))
        try:
            running += int((await redis.xpending(queue, GROUP))["pending"])
            consumers = await redis.xinfo_consumers(queue, GROUP)
        except ResponseError as error:  # no worker has opened it yet
            if not str(error).startswith("NOGROUP") and "no such key" not in str(error):
                raise
            continue
        workers |= {consumer["name"] for consumer in consumers if consumer["idle"] < HEARD_MS}
    # Read one after the other, so a command may have been answered in between.
    return QueueStatus(
        service=service, waiting=max(0, there - running), running=running, workers=len(workers)
    )
