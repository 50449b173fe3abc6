"""The five services' apps: how they listen, are served, and work without being served.

Each is exactly the app that `uvicorn services.<name>.app:app` would run; several in one process (`atlas up`),
one in a process (`atlas serve`, `atlas up --processes`), or only its worker (`atlas worker`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol, cast

import uvicorn
from fastapi import FastAPI

from atlas.config import Settings
from atlas.errors import ConfigError, StartupError

APPS = ("gateway", "planner", "lens", "sandbox", "repair")
WORKERS = ("planner", "lens", "sandbox", "repair")
POLL_S = 0.02


class _AppModule(Protocol):
    def create(self, settings: Settings | None = None) -> FastAPI: ...


class SignalFreeServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the one handler of the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def log_to_stderr(settings: Settings) -> None:
    """Set up logging for a process of the stack."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)


def listen(settings: Settings, name: str, host: str | None = None) -> socket.socket:
    """Return a listening socket for an app; only the gateway listens beyond loopback, unless `host` says so.

    Raises:
        StartupError: if the port is taken or the address is not this machine's.
    """
    host, port = host or settings.service_host(name), settings.service_port(name)
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


@contextlib.asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Future[Any]]:
    """Give a future that is done once SIGINT or SIGTERM has come."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        yield stopping
    finally:
        stopping.cancel()


async def serve(
    settings: Settings,
    sockets: Mapping[str, socket.socket],
    until: set[asyncio.Future[Any]],
    started: asyncio.Event | None = None,
) -> None:
    """Serve the named apps on their sockets until one of the futures is done; `started` is set when all do.

    Raises:
        StartupError: an app did not start (its reason is logged).
    """
    servers = {name: SignalFreeServer(_configured(name, settings)) for name in sockets}
    serving = {
        asyncio.ensure_future(server.serve(sockets=[sockets[name]])) for name, server in servers.items()
    }
    announcing = asyncio.ensure_future(_announce(list(servers.values()), started or asyncio.Event()))
    await asyncio.wait({*until, *serving}, return_when=asyncio.FIRST_COMPLETED)
    for server in servers.values():
        server.should_exit = True
    announcing.cancel()
    dead = [name for name, server in servers.items() if not server.started]
    await asyncio.gather(*serving)
    if dead and not any(future.done() for future in until):
        raise StartupError(f"{', '.join(dead)} did not start; the reason is in the log above")


async def work(settings: Settings, name: str, until: asyncio.Future[Any]) -> None:
    """Run a service's worker alone, without a port, until the future is done.

    Raises:
        ConfigError: the service has no worker, or lacks a setting.
    """
    if name not in WORKERS:
        raise ConfigError(f"{name} has no worker; there are: {', '.join(WORKERS)}")
    app = _app(name, settings)
    async with app.router.lifespan_context(app):
        await until


def _app(name: str, settings: Settings) -> FastAPI:
    # By name, as uvicorn itself would load it: atlas imports no service.
    return cast("_AppModule", importlib.import_module(f"services.{name}.app")).create(settings)


def _configured(name: str, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        _app(name, settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


async def _announce(servers: list[SignalFreeServer], started: asyncio.Event) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(POLL_S)
    started.set()
