"""Cancelling tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.1


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, again and again, until they have ended; even if the caller is cancelled too.

    Once is not enough: before Python 3.12 `asyncio.wait_for` may swallow a cancellation, and libraries await
    in it (redis-py did: its issue 2028, seen with 8.1). A worker that lived on would hang the shutdown.
    """
    interrupted: asyncio.CancelledError | None = None
    while waiting := {task for task in tasks if not task.done()}:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=AGAIN_S)
        except asyncio.CancelledError as error:
            interrupted = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that none goes unread
    if interrupted:
        raise interrupted
