"""A sandbox executor of a program's own, for as long as it needs one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from atlas.config import Settings
from atlas.embedded import executor_server
from atlas.executor import ExecutorClient


@asynccontextmanager
async def own_executor(settings: Settings, directory: Path, name: str) -> AsyncIterator[ExecutorClient]:
    """Start an executor with the sandbox's settings, its socket and log in `directory`; stop it at the end.

    Enter it in the main thread: it dies with the thread that started it.

    Raises:
        StartupError: it does not come up; quotes its log.
    """
    own = settings.model_copy(update={"data_dir": directory / name})
    # Spawned in this thread, waited for in another.
    server = executor_server.launch(own, name=name)
    try:
        await asyncio.to_thread(server.wait_ready)
        async with ExecutorClient(server.url) as client:
            yield client
    finally:
        await asyncio.to_thread(server.stop)
