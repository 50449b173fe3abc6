"""`atlas up`: the whole stack on one machine, in the foreground.

Redis, llama-server and the executor are children. The five apps run in this process, each on its own port, or
each in a process of its own (`--processes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from rich.console import Console

from atlas import models
from atlas.cli_progress import pull_shown
from atlas.config import Settings
from atlas.embedded.apps import APPS, listen, log_to_stderr, serve, stop_signal
from atlas.embedded.stack import Children

console = Console(stderr=True)


def run(settings: Settings, *, pull: bool = False, processes: bool = False) -> None:
    """Run the stack until SIGINT or SIGTERM; leave nothing running.

    Raises:
        StartupError: if a port is taken, memory is short, or a part does not come up.
        ModelFileError: if the model is missing or its hash is wrong.
    """
    log_to_stderr(settings)
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(listen(settings, name)) for name in APPS}
        if pull and settings.llama_url is None and settings.model_path is None:
            pull_shown(settings.model, models.models_dir_of(settings))
        asyncio.run(_run(settings, sockets, processes))


async def _run(settings: Settings, sockets: dict[str, socket.socket], processes: bool) -> None:
    async with stop_signal() as stopping:
        children = Children(settings, services=sockets if processes else None)
        async with children as ready:
            failed = asyncio.ensure_future(children.failed())
            started = asyncio.Event()
            announcing = asyncio.ensure_future(_announce(ready, started))
            try:
                await _serve(ready, {} if processes else sockets, {stopping, failed}, started)
            finally:
                announcing.cancel()
                failed.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await failed
    console.print("ATLAS has stopped.")


async def _serve(
    ready: Settings,
    sockets: dict[str, socket.socket],
    until: set[asyncio.Future[Any]],
    started: asyncio.Event,
) -> None:
    if sockets:
        await serve(ready, sockets, until, started)
        return
    started.set()  # the services are among the children, and those are ready
    await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)


async def _announce(settings: Settings, started: asyncio.Event) -> None:
    await started.wait()
    console.print(f"[green]ATLAS is up[/]: {settings.gateway_url} (API docs: /docs). Ctrl-C stops it.")
