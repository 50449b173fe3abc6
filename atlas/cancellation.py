"""Cancelling tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any


async def cancel(*tasks: asyncio.Future[Any], patience_s: float = 0.1) -> None:
    """Cancel tasks, again every `patience_s`, until they have ended; even if the caller is cancelled too.

    Once is not enough: before Python 3.12 `asyncio.wait_for` may swallow a cancellation, and redis-py awaits
    in it (redis-py issue 2028; seen with 8.1). A task that lived on would keep its worker's lease for ever.
    """
    interrupted: asyncio.CancelledError | None = None
    while waiting := {task for task in tasks if not task.done()}:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=patience_s)
        except asyncio.CancelledError as error:
            interrupted = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that none goes unread
    if interrupted:
        raise interrupted
