"""One service as a child: `python -m atlas.cli serve NAME --fd N`, on a socket that its parent holds.

The socket outlives the child: what comes while a killed service is started again waits in its backlog.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

import httpx

from atlas.config import Settings
from atlas.embedded.process import Child

READY_TIMEOUT_S = 60.0


@dataclass
class ServiceProcess:
    """A running service and where it listens."""

    child: Child
    url: str

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until GET /healthz answers 200.

        Raises:
            StartupError: it ended or is not ready in time; quotes its log.
        """
        self.child.wait_ready(self._healthy, timeout_s)

    def _healthy(self) -> bool:
        try:
            # Asked while it starts, this waits in the backlog; briefly, so that an end is noticed.
            return httpx.get(f"{self.url}/healthz", timeout=1.0, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop it; commands in its hands come over to other workers, or to itself when it is back."""
        self.child.stop()


def launch(settings: Settings, name: str, listener: socket.socket) -> ServiceProcess:
    """Start a service on its socket; it may not answer yet when this returns.

    Raises:
        StartupError: the process cannot be started.
    """
    fd = listener.fileno()
    command = [sys.executable, "-m", "atlas.cli", "serve", name, "--fd", str(fd)]
    # Every setting is in the environment (no secret on the command line), so no file is needed.
    others = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    environment = others | settings.as_environment()
    child = Child.spawn(name, command, settings.run_dir, env=environment, pass_fds=[fd])
    return ServiceProcess(child, settings.service_url(name))
