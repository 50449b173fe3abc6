"""How this project connects to Redis."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004


def connect(url: str) -> Redis:
    """Return a client that rides out a restart of the server (about 30 s of retries).

    Repeating an append is safe: its own checks refuse the second one. There is no read timeout: redis-py
    would await every read in `asyncio.wait_for`, which loses cancellations before Python 3.12, and a blocking
    read needs none (a server that is gone closes the socket; one that hangs is the health checks' business).
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        protocol=2,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 35),
        retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError],
        socket_timeout=None,
        socket_connect_timeout=5,
    )
