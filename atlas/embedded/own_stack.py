"""A gateway to run against: the one that answers, or a stack started for this run and stopped with it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from atlas import installed
from atlas.client import Gateway
from atlas.config import Settings
from atlas.embedded.process import Child
from atlas.errors import StartupError

UNREADY_S = 300.0  # how long a gateway that answers may take to become ready: a large model is loading
START_S = 3600.0  # how long our own stack may take: a model is fetched
STOP_S = 30.0
POLL_S = 0.3
REPORT_S = 15.0


@dataclass
class Stack:
    """A gateway that is ready; `child` is the stack behind it if it was started here."""

    gateway: Gateway
    child: Child | None = None

    async def ended(self) -> None:
        """Wait until the stack started here ends; for ever if there is none.

        Raises:
            StartupError: always, when it ends; quotes its log.
        """
        if self.child is None:
            await asyncio.Event().wait()
            return
        while self.child.alive:  # noqa: ASYNC110 - a process's end is no event in Python 3.10
            await asyncio.sleep(POLL_S)
        raise StartupError(f"the stack started for this run has ended: {self.child.ended()}")


@asynccontextmanager
async def reach(
    settings: Settings,
    console: Console,
    *,
    target: str | None = None,
    before_start: Callable[[], object] = lambda: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Stack]:
    """Find the gateway (`target`, that installed from here, that of atlas.conf), or start a stack.

    Enter it in the main thread: a stack started here dies with the thread that started it. `before_start`
    may raise to say that none need be started.

    Raises:
        StartupError: no gateway at `target`, one that does not become ready, or the stack cannot start.
    """
    url, key = installed.gateway_of(settings, target)
    async with Gateway(url, api_key=key, transport=transport) as gateway:
        found = await gateway.readiness()
        if found.state == "absent" and target:
            raise StartupError(
                f"no gateway answers at {target} ({found.detail}); start one (`atlas up`), or leave --target "
                "out to have one started for this run"
            )
        if found.state == "absent" and url != settings.gateway_url:
            raise StartupError(
                f"the gateway that was installed from here does not answer at {url} ({found.detail}): "
                "./scripts/verify-install.sh says why"
            )
        if found.state != "absent":
            await _ready(gateway, console, None, UNREADY_S)
            yield Stack(gateway)
            return
        before_start()
        async with _running(settings, gateway, console, f"no gateway answers at {gateway.url}: ") as stack:
            yield stack


@asynccontextmanager
async def private(settings: Settings, console: Console) -> AsyncIterator[Stack]:
    """Start a stack of these settings on ports of its own, whatever else runs here, and stop it at the end.

    Enter it in the main thread, as `reach`.

    Raises:
        StartupError: it cannot start; its DATA_DIR is another stack's, for one.
    """
    settings = settings.model_copy(update={"port": free_ports(), "host": "127.0.0.1", "api_key": None})
    async with (
        Gateway(settings.gateway_url) as gateway,
        _running(settings, gateway, console) as stack,
    ):
        yield stack


def free_ports(n: int = 5) -> int:
    """Return the first of `n` ports in a row that nobody listens on, now.

    Raises:
        StartupError: there are none.
    """
    # Below the ports that the kernel gives to connections (32768 and on): none is taken by chance.
    for first in random.sample(range(20_000, 32_000, n), 200):
        with ExitStack() as held:
            try:
                for port in range(first, first + n):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise StartupError(f"no {n} free ports in a row on this machine")


@asynccontextmanager
async def _running(
    settings: Settings, gateway: Gateway, console: Console, why: str = ""
) -> AsyncIterator[Stack]:
    # The settings as variables: whatever atlas.conf or key this process read, the stack has the same.
    command = [sys.executable, "-m", "atlas.cli", "up", "--pull"]
    environment = os.environ | settings.as_environment()
    child = Child.spawn("atlas-up", command, settings.run_dir, env=environment)
    console.print(
        f"{why}starting the stack for this run (log: {child.log_path})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    try:
        ours = await _ready(gateway, console, child, START_S)
        yield Stack(gateway, child if ours else None)
    finally:
        await asyncio.to_thread(child.stop, STOP_S)


async def _ready(gateway: Gateway, console: Console, child: Child | None, patience_s: float) -> bool:
    """Wait until the gateway is ready, saying now and then what it waits for.

    False if another stack, begun at the same time, took the place of `child`.
    """
    began = reported = time.monotonic()
    with console.status(f"waiting for {gateway.url}") as status:
        while True:
            ended = child is not None and not child.alive
            found = await gateway.readiness()
            if found.state == "ready":
                return not ended
            if child is not None and ended and found.state == "absent" and not _held(child.log_path.parent):
                raise StartupError(f"the stack did not start: {child.ended()}")
            now = time.monotonic()
            doing = (child.tail(1) if child else "") or found.detail
            if now - began > patience_s:
                log = f"; the end of {child.log_path}:\n{child.tail()}" if child else ""
                late = f"the gateway at {gateway.url} was not ready after {patience_s:.0f} s"
                raise StartupError(f"{late}: {found.detail}{log}")
            line = f"waiting for {gateway.url}, {now - began:.0f} s: {doing.strip()[:200]}"
            if console.is_terminal:
                status.update(line.replace("[", r"\["))
            elif now - reported > REPORT_S:
                reported = now
                console.print(line, markup=False, highlight=False)
            await asyncio.sleep(POLL_S)


def _held(run_dir: Path) -> bool:
    """Whether a stack runs on this directory: it holds the lock of `atlas.embedded.stack`."""
    try:
        with (run_dir / "stack.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
