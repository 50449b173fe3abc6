"""The sandbox executor as a child: `python -m services.sandbox.executor` on a unix socket.

It runs other people's programs, so it inherits none of our environment but the plainest variables.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from atlas.config import Settings
from atlas.embedded.process import Child, plain_environment, short_socket

READY_TIMEOUT_S = 30.0


@dataclass
class ExecutorServer:
    """A running executor and how to reach it (`unix:/path`)."""

    url: str
    socket: Path
    child: Child

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until GET /readyz answers 200 over the socket.

        Raises:
            StartupError: it ended or is not ready in time; quotes its log.
        """
        self.child.wait_ready(lambda: _ready(self.socket), timeout_s)

    def stop(self) -> None:
        """Stop it, with every program it is running."""
        self.child.stop()


def arguments(settings: Settings, path: Path) -> list[str]:
    """Return the child's arguments for these settings."""
    return [
        *("--uds", str(path)),
        *("--jobs", str(settings.execution_jobs)),
        *("--isolation", settings.sandbox_isolation),
    ]


def launch(settings: Settings, *, name: str = "executor") -> ExecutorServer:
    """Start an executor; it may not answer yet when this returns. `name` tells several apart.

    Raises:
        StartupError: the process cannot be started.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    path = short_socket(settings.run_dir, f"{name}.sock")
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "services.sandbox.executor", *arguments(settings, path)]
    child = Child.spawn(name, command, settings.run_dir, env=plain_environment())
    return ExecutorServer(url=f"unix:{path}", socket=path, child=child)


def start(settings: Settings, *, name: str = "executor") -> ExecutorServer:
    """Start an executor and wait until it serves.

    Raises:
        StartupError: see `launch` and `ExecutorServer.wait_ready`.
    """
    server = launch(settings, name=name)
    server.wait_ready()
    return server


def _ready(path: Path) -> bool:
    # By hand: httpcore leaves its socket open when a unix socket refuses the connection.
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5.0)
            connection.connect(str(path))
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: executor\r\nConnection: close\r\n\r\n")
            status = connection.recv(64)
    except OSError:
        return False
    return status.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
