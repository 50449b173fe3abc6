"""Stopping what runs: tasks cancelled for certain, and a program that cleans up when it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_S = 0.1


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def run_interruptible(work: Coroutine[object, object, T]) -> T:
    """Await `work` in an event loop of its own; Ctrl-C or SIGTERM cancels it, so that it can clean up.

    A second signal ends the process at once.

    Raises:
        Interrupted: when it was stopped so.
    """
    try:
        return asyncio.run(_stoppable(work))
    except KeyboardInterrupt:
        raise Interrupted from None


async def _stoppable(work: Coroutine[object, object, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    signals = (signal.SIGINT, signal.SIGTERM)
    stopped = False

    def unhook() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    def stop() -> None:
        nonlocal stopped
        stopped = True
        unhook()
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if stopped:
            raise Interrupted from None
        raise
    finally:
        unhook()


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
