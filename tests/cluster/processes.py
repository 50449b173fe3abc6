"""Long-running children, each with a log, that are waited for and whose death is told."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from atlas.errors import StartupError
from tests.cluster.scratch import Scratch, tail

POLL_S = 0.5
PATIENCE_S = 10.0


class Processes:
    """Children of this process, started in order and stopped in the other."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Start a child; what it says is in `logs/NAME.txt`."""
        words = [str(word) for word in command]
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def must_live(self) -> None:
        """Look at every child.

        Raises:
            StartupError: one has ended; the message has the end of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                raise StartupError(
                    f"{name} has ended with exit code {process.returncode}:\n{tail(self._log(name))}"
                )

    def wait(self, what: str, seconds: float, ready: Callable[[], bool]) -> float:
        """Wait until something is so, and return for how long, in seconds.

        Raises:
            StartupError: it takes too long, or a child has ended.
        """
        began = time.monotonic()
        while not ready():
            self.must_live()
            if time.monotonic() - began > seconds:
                raise StartupError(f"after {seconds:.0f} s there is still no {what}; logs: {self._log('')}")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def stop(self) -> None:
        """End all that run, the youngest first."""
        for name in [*reversed(self._running)]:
            self.stop_one(name)

    def stop_one(self, name: str) -> None:
        """End a child, and forget it."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log(self, name: str) -> Path:
        return self._scratch.path("logs", f"{name}.txt" if name else "")
