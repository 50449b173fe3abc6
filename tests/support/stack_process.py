"""`atlas up` as a user would run it: a process of its own, on free ports, with its output in a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from atlas.embedded.own_stack import free_ports


class StackProcess:
    """A running (or starting) `atlas up`."""

    def __init__(self, directory: Path, *options: str, **settings: object) -> None:
        self.port = int(settings.setdefault("PORT", free_ports()))  # type: ignore[call-overload]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "up.log"
        environment = {f"ATLAS_{key}": str(value) for key, value in settings.items()}
        environment.setdefault("ATLAS_DATA_DIR", str(directory / "data"))
        self.data_dir = Path(environment["ATLAS_DATA_DIR"])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "atlas.cli", "up", *options],
                env={**os.environ, **environment},
                cwd=directory,
                stdout=log,
                stderr=log,
            )

    def wait_ready(self, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                # The gateway may be ready before the executor has tried its limits, and the stack complete.
                told = (self.data_dir / "run" / "stack.json").exists()
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200 and told:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def family(self) -> list[psutil.Process]:
        """The process and everything below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    @property
    def children(self) -> dict[str, int]:
        """Process ids of the stack's children by name, as it tells them."""
        told = json.loads((self.data_dir / "run" / "stack.json").read_text())["children"]
        return {str(name): int(pid) for name, pid in told.items()}

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def running(directory: Path, *options: str, **settings: object) -> Iterator[StackProcess]:
    """A ready stack, stopped at the end."""
    stack = StackProcess(directory, *options, **settings)
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()
