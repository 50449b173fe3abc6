"""The lens as a service of its own, which says what it would choose from a stored journal.

    lens (a child, `atlas serve lens`) ◀── POST /v1/select ── Lens

Selectors and their features are the lens's: what is measured or fitted here is what a task gets.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from atlas.config import Settings
from atlas.embedded import redis_server
from atlas.embedded.own_stack import free_ports
from atlas.embedded.process import Child
from atlas.errors import InfrastructureError
from atlas.events import Entry
from atlas.policy import Selector
from atlas.selection_api import JournalRequest, Selection
from benchmark.scoring.private_directory import PrivateDirectory

T = TypeVar("T")
R = TypeVar("R")

START_S, ANSWER_S = 60.0, 120.0
AT_ONCE = 4
NOBODY = "http://127.0.0.1:9"  # a lens that only chooses calls no model


class Lens:
    """Asks a lens at `url` (or over a `transport`, in tests)."""

    def __init__(self, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, transport=transport, timeout=ANSWER_S, trust_env=False)

    async def select(
        self, entries: Sequence[Entry], selector: Selector, first: int | None = None
    ) -> Selection:
        """Return what it would choose from a journal by this selector, of its first candidates if said.

        Raises:
            InfrastructureError: it does not answer, or refuses the journal.
        """
        body = JournalRequest(entries=tuple(entries), selector=selector, first=first)
        try:
            answer = await self._http.post(
                "/v1/select",
                content=body.model_dump_json().encode(),
                headers={"content-type": "application/json"},
            )
        except httpx.HTTPError as error:
            raise InfrastructureError(f"the lens does not answer: {error!r}") from error
        if answer.status_code != httpx.codes.OK:
            raise InfrastructureError(f"the lens refused a journal: {answer.text[:500]}")
        return Selection.model_validate_json(answer.content)

    async def alive(self) -> bool:
        """Whether it answers at all."""
        try:
            return (await self._http.get("/healthz")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


@asynccontextmanager
async def own_lens(directory: Path) -> AsyncIterator[Lens]:
    """Start a lens of this program's own, its files in `directory`, and stop it at the end.

    Enter it in the main thread: its children die with the thread that started them.

    Raises:
        StartupError: it does not come up; quotes its log.
    """
    async with AsyncExitStack() as held:
        redis = redis_server.start(directory / "redis")
        held.push_async_callback(asyncio.to_thread, redis.stop)
        settings = Settings(
            data_dir=directory, redis_url=redis.url, llama_url=NOBODY, port=free_ports(), log_level="warning"
        )
        command = [sys.executable, "-m", "atlas.cli", "serve", "lens"]
        child = Child.spawn("lens", command, settings.run_dir, env=os.environ | settings.as_environment())
        held.push_async_callback(asyncio.to_thread, child.stop)
        lens = Lens(f"http://127.0.0.1:{settings.service_port('lens')}")
        held.push_async_callback(lens.aclose)
        await _until_alive(lens, child)
        yield lens


async def ask_each(
    tasks: Sequence[T], ask: Callable[[Lens, T], Awaitable[R]], done: Callable[[], object] = lambda: None
) -> list[R]:
    """Ask a lens of this program's own about each task, a few at a time; return the answers in their order.

    `done` is told of each.

    Raises:
        InfrastructureError: the lens does not start, or does not answer.
    """
    private = PrivateDirectory.make("atlas-lens-")
    limit = asyncio.Semaphore(AT_ONCE)
    try:
        async with own_lens(private.path) as lens:

            async def one(task: T) -> R:
                async with limit:
                    answer = await ask(lens, task)
                done()
                return answer

            return await asyncio.gather(*map(one, tasks))
    finally:
        private.close()


async def _until_alive(lens: Lens, child: Child) -> None:
    for _ in range(int(START_S / 0.1)):
        if await lens.alive():
            return
        if not child.alive:
            break
        await asyncio.sleep(0.1)
    raise InfrastructureError(f"the lens did not start: {child.ended() if not child.alive else child.tail()}")
