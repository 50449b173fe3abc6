"""A stack of processes with its scripted model server, to kill; what was killed is started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from atlas.client import Gateway
from atlas.embedded.own_stack import free_ports
from atlas.embedded.process import Child
from atlas.embedded.stack import RAPID_FAILURES, RAPID_WINDOW_S
from atlas.errors import InfrastructureError
from tests.chaos.request_log import Request, read
from tests.chaos.schedule import MODEL, STACK, TARGETS, Killed

REPO = Path(__file__).parents[2]
TOKENS_PER_SECOND = 30
POLL_S = 0.05
READY_S = 120.0
STOP_S = 60.0


class Field:
    """Everything of one run, in one directory, which appears in every process's command or environment."""

    def __init__(
        self,
        directory: Path,
        *,
        tokens_per_second: float = TOKENS_PER_SECOND,
        processes: bool = True,
        data_dir: Path | None = None,
    ) -> None:
        self.directory = directory
        self._tokens_per_second = tokens_per_second
        self._processes = processes
        self.data_dir = data_dir or directory / "data"
        self.port = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self._model_port = free_ports(1)
        self._log = directory / "requests.jsonl"
        self._killed: dict[str, list[float]] = defaultdict(list)
        self._dead: set[psutil.Process] = set()
        self._family: set[psutil.Process] = set()
        self._model: Child | None = None
        self._stack: Child | None = None

    @property
    def requests(self) -> list[Request]:
        """What the model server has been asked so far."""
        return read(self._log)

    @property
    def kills(self) -> list[Killed]:
        """What has been killed so far."""
        return [Killed(target, time_) for target, times in self._killed.items() for time_ in times]

    async def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            InfrastructureError: it does not get ready; says where its logs are.
        """
        self._start_model()
        await self.start_stack()

    def start_model(self) -> None:
        """Start the model server alone, for a stack that someone else starts in our `environment`."""
        self._start_model()

    async def start_stack(self) -> None:
        """Start the stack and wait until it is ready; the model server runs.

        Raises:
            InfrastructureError: as `start`.
        """
        self._start_stack()
        deadline = time.monotonic() + READY_S
        async with Gateway(self.url) as gateway:
            while not self._complete() or (await gateway.readiness()).state != "ready":
                if ended := self.gave_up():
                    raise InfrastructureError(f"the stack did not start: {ended}")
                if time.monotonic() > deadline:
                    raise InfrastructureError(f"the stack does not get ready; logs: {self.directory}")
                await asyncio.sleep(POLL_S)
        self.look()

    def _complete(self) -> bool:
        """Whether all processes are there; of a stack in one process, that one and its servers."""
        names = self._pids().keys()
        return names == set(TARGETS) if self._processes else names >= {MODEL, STACK, "redis", "executor"}

    def gave_up(self) -> str | None:
        """How the stack ended, if it did by itself (one that we kill is started again in the same step)."""
        return None if self._stack is None or self._stack.alive else self._stack.ended()

    async def kill(self, target: str) -> None:
        """kill -9 one process, once it is there and this would not look like a crash loop."""
        times = self._killed[target]
        most = RAPID_FAILURES - 2
        if len(times) >= most:
            await asyncio.sleep(times[-most] + RAPID_WINDOW_S - time.time())
        process = await self._process(target)
        self.look()
        os.kill(process.pid, signal.SIGKILL)
        times.append(time.time())
        self._dead.add(process)
        if target == MODEL and self._model:
            self._model.popen.wait()
            self._start_model()
        elif target == STACK and self._stack:
            self._stack.popen.wait()
            self._start_stack()

    async def _process(self, target: str) -> psutil.Process:
        """The living process of that name, once there is one that we have not killed."""
        while True:
            pid = self._pids().get(target)
            try:
                process = psutil.Process(pid) if pid is not None else None
            except psutil.NoSuchProcess:
                process = None
            if process is not None and process not in self._dead:
                return process
            await asyncio.sleep(POLL_S)

    def _pids(self) -> dict[str, int]:
        ours = {name: child.pid for name, child in ((MODEL, self._model), (STACK, self._stack)) if child}
        try:
            told = json.loads((self.data_dir / "run" / "stack.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ours
        # What a killed stack left behind names processes that are dead, or someone else's by now.
        return ours | (told["children"] if told["pid"] == ours.get(STACK) else {})

    def look(self) -> None:
        """Note all processes there are, to see in the end that none of them is left."""
        for child in (self._model, self._stack):
            try:
                top = psutil.Process(child.pid) if child else None
                self._family |= {top, *top.children(recursive=True)} if top else set()
            except psutil.NoSuchProcess:
                continue

    def stop(self) -> list[str]:
        """Stop everything; return what runs on all the same: its command lines."""
        self.look()
        if self._stack and self._stack.alive:
            self._stack.popen.terminate()
            try:
                self._stack.popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.look()  # it hangs: it and its children are left
        if self._model:
            self._model.stop()
        psutil.wait_procs(self._family, timeout=5)
        left = [process for process in {*self._family, *self._mentioned()} if _lives(process)]
        return [_ended(process) for process in left]

    def _mentioned(self) -> set[psutil.Process]:
        """Processes with our directory in their command or environment."""
        name = str(self.directory)
        found = set()
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), *process.environ().values()]
            except psutil.Error:
                continue
            if process.pid != os.getpid() and any(name in word for word in words):
                found.add(process)
        return found

    def _start_model(self) -> None:
        options = ["--port", str(self._model_port), "--log", str(self._log)]
        command = [sys.executable, "-m", "tests.chaos.model_server", *options]
        command += ["--tokens-per-second", str(self._tokens_per_second)]
        environment = {**os.environ, "PYTHONPATH": str(REPO)}
        self._model = Child.spawn("model", command, self.directory, env=environment)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which `atlas` and the runner find this stack and model server, and no other."""
        others = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
        ours = {
            "ATLAS_DATA_DIR": str(self.data_dir),
            "ATLAS_PORT": str(self.port),
            "ATLAS_LLAMA_URL": f"http://127.0.0.1:{self._model_port}",
            "PYTHONPATH": str(REPO),
        }
        return others | ours

    def _start_stack(self) -> None:
        command = [sys.executable, "-m", "atlas.cli", "up", *(["--processes"] if self._processes else [])]
        self._stack = Child.spawn("up", command, self.directory, env=self.environment)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ended(process: psutil.Process) -> str:
    """Kill what is left; return its command line."""
    try:
        command = " ".join(process.cmdline())
        process.kill()
    except psutil.NoSuchProcess:
        return f"pid {process.pid}, which ended just now"
    return command
