"""Runs a data set's reference programs, at load time, in an executor of its own that is gone afterwards.

They are somebody's programs from a download, so they run where all programs do: in the sandbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from atlas.config import Settings
from atlas.embedded import executor_server
from atlas.executor import Executor, ExecutorClient
from benchmark.scoring.private_directory import PrivateDirectory

T = TypeVar("T")
Work = Callable[[Executor], Coroutine[Any, Any, T]]


def with_executor(work: Work[T]) -> T:
    """Start an executor, wait for `work(executor)`, and stop it. Callable inside a running event loop too.

    Call it from a thread that lives as long as the work: Linux kills the executor with the thread that
    started it.

    Raises:
        StartupError: the executor does not come up.
        ExecutorError: it refused or failed a request.
    """
    directory = PrivateDirectory.make("atlas-reference-")
    try:
        with ThreadPoolExecutor(1) as thread:
            server = executor_server.launch(Settings(data_dir=directory.path), name="reference")
            try:
                server.wait_ready()
                return thread.submit(asyncio.run, _working(server.url, work)).result()
            finally:  # before the thread is waited for: after an interrupt its work must fail, not go on
                server.stop()
    finally:
        directory.close()


async def _working(url: str, work: Work[T]) -> T:
    client = ExecutorClient(url)
    try:
        return await work(client)
    finally:
        await client.aclose()
