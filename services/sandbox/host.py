"""How busy the host was, so that a program is not blamed for it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def waited_s(pid: int) -> float:
    """Seconds a process was ready to run but had no core (its main thread; proc(5), schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # it just went, or the kernel does not count this
        return 0.0


class StealMeter:
    """Which part of the machine's time its hypervisor took. Thread-safe; reads /proc rarely.

    Runs are short and many: a baseline is up to `every_s` older than the run it serves.
    """

    def __init__(self, every_s: float = 0.25) -> None:
        self._every_s = every_s
        self._sample = (time.monotonic(), stolen_s())

    def begin(self) -> tuple[float, float]:
        """A baseline for `share`."""
        if time.monotonic() - self._sample[0] > self._every_s:
            self._sample = (time.monotonic(), stolen_s())
        return self._sample

    def share(self, since: tuple[float, float]) -> float:
        """The share since then, 0 to 1."""
        elapsed = (time.monotonic() - since[0]) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (stolen_s() - since[1]) / elapsed)) if elapsed > 0 else 0.0


def stolen_s() -> float:
    """CPU seconds the hypervisor took from this machine since it started, all cores together."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(first[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def tasks_of(uid: int) -> int:
    """Processes and threads of a user, as far as /proc shows them."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid:
                count += len(list((entry / "task").iterdir()))
        except OSError:  # it just went
            continue
    return count
