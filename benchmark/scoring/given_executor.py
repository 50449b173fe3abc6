"""A grading executor that someone else runs, as the container beside the runner's in a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atlas.errors import BadInput, StartupError
from atlas.executor import ExecutorClient

PATIENCE_S = 120.0
POLL_S = 0.2
SCHEMES = ("unix:/", "http://", "https://")


@asynccontextmanager
async def given_executor(url: str, patience_s: float = PATIENCE_S) -> AsyncIterator[ExecutorClient]:
    """Give a client of the executor at `url`, once it takes programs.

    Nobody but this runner may use it, and it must be of this version: hidden inputs are sent to it.

    Raises:
        BadInput: `url` is not `unix:/path/to/socket` or an HTTP address.
        StartupError: it does not get ready in time; says what it answers.
    """
    if not url.startswith(SCHEMES):
        raise BadInput(f"{url!r} is no address of an executor; it looks like unix:/run/atlas/executor.sock")
    async with ExecutorClient(url) as executor:
        deadline = time.monotonic() + patience_s
        while (problem := await executor.ready()) is not None:
            if time.monotonic() > deadline:
                raise StartupError(
                    f"the grading executor is not ready after {patience_s:.0f} s: {problem}; start one with "
                    "`python -m services.sandbox.executor --uds PATH`, or leave --grading-executor out"
                )
            await asyncio.sleep(POLL_S)
        yield executor
