"""How busy the host was, so that a program is not blamed for it."""

from __future__ import annotations

import os
from pathlib import Path


def waited_s(pid: int) -> float:
    """Seconds a process was ready to run but had no core (its main thread; proc(5), schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # it just went, or the kernel does not count this
        return 0.0


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
