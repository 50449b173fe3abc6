"""All children of one stack: started in parallel, watched, restarted at the same address, stopped in order.

    async with Children(settings) as ready:       # ready: Settings with every URL filled in
        await first_of(serve(ready), children.failed())

What the settings already point to (REDIS_URL, LLAMA_URL, EXECUTOR_URL) is not started. The services are
children too where they are given sockets; they start after the servers, whose URLs they need, and end first.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from atlas import models
from atlas.config import Settings
from atlas.embedded import executor_server, llama_server, redis_server, service_process
from atlas.embedded.process import Child
from atlas.errors import AtlasError, StartupError
from atlas.files import take_lock, write_whole
from atlas.models import ModelFile

log = logging.getLogger(__name__)

POLL_S = 0.1
RAPID_FAILURES = 5
RAPID_WINDOW_S = 60.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 10.0
JOURNAL, SERVER, SERVICE = range(3)  # layers: what is needed first, and stopped last


class Server(Protocol):
    """What `launch` of each embedded server, or service, returns."""

    child: Child
    url: str

    def wait_ready(self) -> None:
        """Block until it serves."""

    def stop(self) -> None:
        """Stop it; does nothing twice."""


@dataclass
class Part:
    """One child: how to launch it (again), and the present one.

    `launch` gets the server it replaces, so that the new one can take over its address. A part of a higher
    `layer` needs those below it: it is started after them and stopped before them.
    """

    name: str
    launch: Callable[[Server | None], Server]
    layer: int
    server: Server | None = None
    failures: deque[float] = field(default_factory=deque)


class Children:
    """Async context manager of the children. Enter it once, in the main thread's event loop.

    `services`: listening sockets of the services that are to be children too, by name.
    """

    def __init__(
        self,
        settings: Settings,
        model: ModelFile | None = None,
        services: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self._settings = settings
        self._model = model
        self._services = services or {}
        self._parts: list[Part] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._fatal: asyncio.Future[None] | None = None
        self._lock: int | None = None
        self.settings = settings

    @property
    def model(self) -> ModelFile | None:
        """The model the embedded llama-server has loaded; None if LLAMA_URL names another server."""
        return self._model

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each running child by name (redis, llama, executor, and services)."""
        return {part.name: part.server.child.pid for part in self._parts if part.server is not None}

    async def __aenter__(self) -> Settings:
        """Start what is wanted and return the settings with all URLs.

        Raises:
            StartupError: another stack uses this DATA_DIR, or a child cannot start (all are stopped again).
            ModelFileError: the model is missing or wrong.
        """
        self._lock = _lock_run_dir(self._settings.run_dir)
        try:
            self._parts = await self._wanted()
            await self._start(self._parts)
            urls = {f"{part.name}_url": part.server.url for part in self._parts if part.server}
            self.settings = self._settings.model_copy(update=urls)
            services = [self._service(name) for name in self._services]
            self._parts += services
            await self._start(services)
        except BaseException:
            await self._stop_all()
            raise
        self._write_state()
        self._fatal = asyncio.get_running_loop().create_future()
        self._watchers = [asyncio.create_task(self._watch(part), name=part.name) for part in self._parts]
        return self.settings

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything that was started."""
        await self._stop_all()

    async def failed(self) -> None:
        """Wait until a child has failed for good.

        Raises:
            StartupError: always, when that happens: which child, and the end of its log.
        """
        if self._fatal is None:
            raise RuntimeError("failed() is for use inside the context")
        await asyncio.shield(self._fatal)

    async def _wanted(self) -> list[Part]:
        settings = self._settings
        parts: list[Part] = []
        if settings.redis_url is None:
            parts.append(Part("redis", lambda _: redis_server.launch(settings.run_dir), layer=JOURNAL))
        if settings.llama_url is None:
            # In a thread: the first time, the whole file is hashed.
            model = self._model
            if model is None:
                model = self._model = await asyncio.to_thread(models.resolve, settings)
            parts.append(Part("llama", functools.partial(_launch_llama, settings, model), layer=SERVER))
        if settings.executor_url is None:
            parts.append(Part("executor", lambda _: executor_server.launch(settings), layer=SERVER))
        return parts

    def _service(self, name: str) -> Part:
        listener = self._services[name]
        return Part(name, lambda _: service_process.launch(self.settings, name, listener), layer=SERVICE)

    async def _start(self, parts: list[Part]) -> None:
        for part in parts:  # in this thread: see the note in process.py
            part.server = part.launch(None)
        await asyncio.gather(*(asyncio.to_thread(p.server.wait_ready) for p in parts if p.server))

    async def _watch(self, part: Part) -> None:
        """Restart `part` whenever it ends, slower each time; give up on five failures in a minute."""
        while part.server is not None:
            while part.server.child.alive:  # noqa: ASYNC110 - a process's end is no event in Python 3.10
                await asyncio.sleep(POLL_S)
            reason = part.server.child.ended()
            try:
                await self._restart(part, reason)
            except AtlasError as error:
                if self._fatal is not None and not self._fatal.done():
                    self._fatal.set_exception(error)
                return

    async def _restart(self, part: Part, reason: str) -> None:
        old = part.server
        if old is not None:
            await asyncio.to_thread(old.stop)  # what is left of its process group
        while True:
            now = time.monotonic()
            part.failures.append(now)
            while part.failures[0] < now - RAPID_WINDOW_S:
                part.failures.popleft()
            count = len(part.failures)
            if count >= RAPID_FAILURES:
                raise StartupError(
                    f"{part.name} failed {count} times in {RAPID_WINDOW_S:.0f} s; giving up. Last: {reason}"
                )
            pause = min(BACKOFF_FIRST_S * 4 ** (count - 1), BACKOFF_MOST_S)
            log.warning("%s; restarting it in %.1f s", reason.split("; ")[0], pause)
            await asyncio.sleep(pause)
            try:
                part.server = part.launch(old)
                await asyncio.to_thread(part.server.wait_ready)
            except StartupError as error:
                reason = str(error)
                continue
            self._write_state()
            log.info("%s is back at %s (pid %d)", part.name, part.server.url, part.server.child.pid)
            return

    async def _stop_all(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers = []
        for layer in (SERVICE, SERVER, JOURNAL):  # Redis last: the others' last words may be writes
            running = [part.server for part in self._parts if part.server and part.layer == layer]
            await asyncio.gather(*(asyncio.to_thread(server.stop) for server in running))
        self._parts = []
        if self._fatal is not None and self._fatal.done():
            self._fatal.exception()  # seen: asyncio need not warn about it
        _state_path(self._settings.run_dir).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write_state(self) -> None:
        """Tell other programs on this machine where things are (`run_dir/stack.json`)."""
        ready = self.settings
        state = {
            "pid": os.getpid(),
            "children": self.pids,
            "gateway_url": ready.gateway_url,
            "redis_url": ready.redis_url,
            "llama_url": ready.llama_url,
            "executor_url": ready.executor_url,
        }
        write_whole(_state_path(ready.run_dir), json.dumps(state, indent=1))  # 0600: URLs may hold passwords


def _launch_llama(settings: Settings, model: ModelFile, old: Server | None) -> Server:
    port = old.port if isinstance(old, llama_server.LlamaServer) else 0
    return llama_server.launch(settings, model, port=port)


def _state_path(run_dir: Path) -> Path:
    return run_dir / "stack.json"


def _lock_run_dir(run_dir: Path) -> int:
    """Take the lock of one stack per DATA_DIR; the kernel frees it when this process ends."""
    lock = run_dir / "stack.lock"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        descriptor = take_lock(lock)
    except BlockingIOError:
        holder = lock.read_text(encoding="ascii", errors="replace").strip() or "unknown"
        raise StartupError(
            f"another ATLAS stack (pid {holder}) runs on {run_dir.parent}; stop it, or set another DATA_DIR"
        ) from None
    except OSError as error:
        raise StartupError(
            f"cannot write to {run_dir}: {error.strerror}; set DATA_DIR to a directory of yours"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
    return descriptor
