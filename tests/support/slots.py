"""What a real llama-server's slots are doing."""

from __future__ import annotations

import asyncio
import time

import httpx


async def slots_become_busy(http: httpx.AsyncClient, busy: int, seconds: float) -> bool:
    """Whether exactly so many slots are busy, now or within some seconds."""
    end = time.monotonic() + seconds
    while True:
        slots = (await http.get("/slots")).json()
        if sum(slot["is_processing"] for slot in slots) == busy:
            return True
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
