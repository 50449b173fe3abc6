"""`atlas up`: the whole stack on one machine, in the foreground.

Redis, llama-server and the executor are children; the five apps run in this process, each on its own port,
exactly the apps that `uvicorn services.<name>.app:app` would run alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import socket
from collections.abc import Iterator
from typing import Protocol, cast

import uvicorn
from fastapi import FastAPI
from rich.console import Console

from atlas import models
from atlas.cli_progress import pull_shown
from atlas.config import Settings
from atlas.embedded.stack import Children
from atlas.errors import StartupError

APPS = ("gateway", "planner", "lens", "sandbox", "repair")
console = Console(stderr=True)


class _AppModule(Protocol):
    def create(self, settings: Settings | None = None) -> FastAPI: ...


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the one handler of the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, *, pull: bool = False) -> None:
    """Run the stack until SIGINT or SIGTERM; leave nothing running.

    Raises:
        StartupError: if a port is taken, memory is short, or a part does not come up.
        ModelFileError: if the model is missing or its hash is wrong.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(_bound(settings, name)) for name in APPS}
        if pull and settings.llama_url is None and settings.model_path is None:
            pull_shown(settings.model, models.models_dir_of(settings))
        asyncio.run(_run(settings, sockets))


def _bound(settings: Settings, name: str) -> socket.socket:
    """Return a listening socket for an app; only the gateway listens beyond loopback.

    Raises:
        StartupError: if the port is taken or the address is not this machine's.
    """
    host = settings.host if name == "gateway" else "127.0.0.1"
    port = settings.service_port(name)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)  # now, so that a second stack is told before it starts its children
    except OSError as error:
        listener.close()
        raise StartupError(
            f"{name} cannot listen on {host} port {port}: {error.strerror}. "
            f"Stop what uses it, or set another PORT (ATLAS_PORT={port + 100} atlas up)"
        ) from error
    return listener


async def _run(settings: Settings, sockets: dict[str, socket.socket]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    try:
        children = Children(settings)
        async with children as ready:
            await _serve(ready, children, sockets, stopping)
    finally:
        stopping.cancel()
    console.print("ATLAS has stopped.")


async def _serve(
    ready: Settings, children: Children, sockets: dict[str, socket.socket], stopping: asyncio.Task[bool]
) -> None:
    servers = {name: _server(name, ready) for name in APPS}
    serving = {
        name: asyncio.create_task(server.serve(sockets=[sockets[name]])) for name, server in servers.items()
    }
    failed = asyncio.create_task(children.failed())
    announce = asyncio.create_task(_announce(ready, servers))
    await asyncio.wait({stopping, failed, *serving.values()}, return_when=asyncio.FIRST_COMPLETED)
    for server in servers.values():
        server.should_exit = True
    announce.cancel()
    dead = [name for name, server in servers.items() if not server.started]
    await asyncio.gather(*serving.values())
    failed.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await failed
    if dead and not stopping.done():
        raise StartupError(f"{', '.join(dead)} did not start; the reason is in the log above")


def _server(name: str, settings: Settings) -> _Server:
    # By name, as uvicorn itself would load it: atlas imports no service.
    module = cast("_AppModule", importlib.import_module(f"services.{name}.app"))
    config = uvicorn.Config(
        module.create(settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config)


async def _announce(settings: Settings, servers: dict[str, _Server]) -> None:
    while not all(server.started for server in servers.values()):  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(0.02)
    console.print(f"[green]ATLAS is up[/]: {settings.gateway_url} (API docs: /docs). Ctrl-C stops it.")
