"""Work that has a point only while its client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from atlas.cancellation import cancel

T = TypeVar("T")


async def until_gone(request: Request, work: Awaitable[T]) -> T | None:
    """Return what the work gives; None if the client went first, and then the work is cancelled.

    The request's body must have been read: what comes after it can only be that the client goes.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await cancel(working, gone)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
