"""The isolation levels, strongest first, and which of them holds on this machine.

- `namespaces`: user, pid, mount, net, ipc and uts namespaces, a read-only root with only what Python needs;
- `pod`: for an ordinary unprivileged pod, where namespaces are closed: Landlock instead, nothing writable;
- `gvisor`: under a RuntimeClass whose kernel is gVisor, which has no Landlock: the sandbox is around us.

Each of them also drops capabilities, sets rlimits, and installs the system-call filter.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Literal, NamedTuple

from atlas.errors import StartupError
from services.sandbox import host, selfcheck
from services.sandbox.fork_server import UNPRIVILEGED_UID, ForkServer
from services.sandbox.forkserver import landlock, lockdown
from services.sandbox.forkserver.launcher import Order
from services.sandbox.languages import Preload
from services.sandbox.slot import Slot

Level = Literal["namespaces", "pod", "gvisor"]
Wanted = Literal["auto", "namespaces", "pod", "gvisor"]
_SYSLOG_READ_ALL, _SYSLOG_BYTES = 3, 64 << 10


class Choice(NamedTuple):
    """A level that holds, its running launcher, and why no stronger one does ("" if none is)."""

    level: Level
    server: ForkServer
    why_not_stronger: str


def choose(wanted: Wanted, jobs: int) -> Choice:
    """Start a launcher at the wanted level, or at the strongest that holds, and try every limit in it.

    Raises:
        StartupError: it does not hold, or none does; says why and what would open it.
    """
    levels: tuple[Level, ...] = ("namespaces", "pod") if wanted == "auto" else (wanted,)
    if wanted == "auto" and is_gvisor():
        levels = ("gvisor",)
    reasons: list[str] = []
    for level in levels:
        try:
            return Choice(level, _proved(level, jobs), "; ".join(reasons))
        except StartupError as error:
            hint = namespaces_hint() if level == "namespaces" else ""
            reasons.append(f"level '{level}': {error}{hint}")
    raise StartupError(f"this machine cannot isolate programs: {'; '.join(reasons)}. See docs/SANDBOX.md")


def order(level: Level, jobs: int, preload: Preload) -> Order:
    """What a launcher of this level is asked to be."""
    uid = UNPRIVILEGED_UID if os.getuid() == 0 else os.getuid()
    return Order(
        level=level,
        uid=uid,
        tasks=host.tasks_of(uid) + jobs * (lockdown.THREADS + 2),
        imports=list(preload.imports),
        packages=list(preload.directories),
        site=preload.site,
    )


def is_gvisor() -> bool:
    """True inside gVisor: its kernel log, which anyone may read there, begins with its own boot messages."""
    buffer = ctypes.create_string_buffer(_SYSLOG_BYTES)
    size = ctypes.CDLL(None).klogctl(_SYSLOG_READ_ALL, buffer, _SYSLOG_BYTES)
    return size > 0 and b"Starting gVisor" in buffer.raw[:size]


def _proved(level: Level, jobs: int) -> ForkServer:
    if level == "gvisor" and not is_gvisor():
        raise StartupError("this is not gVisor: run the executor under a gVisor RuntimeClass")
    if level == "pod" and landlock.abi() == 0:
        raise StartupError("this kernel has no Landlock (Linux 5.13, enabled in its lsm= list)")
    server = ForkServer(order(level, jobs, Preload()))
    try:
        slot = Slot(lambda: server)
        try:
            selfcheck.try_limits(slot, level)
        finally:
            slot.close()
    except BaseException:
        server.close()
        raise
    return server


def namespaces_hint() -> str:
    """What keeps user namespaces closed here, and which profile opens them."""
    if _number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        return (
            " (AppArmor closes user namespaces here, as Ubuntu 24 does: load an AppArmor profile with"
            " 'userns,' for this Python; docs/SANDBOX.md has one)"
        )
    if _number("/proc/sys/user/max_user_namespaces") == 0:
        return " (user namespaces are switched off: sysctl user.max_user_namespaces=10000)"
    if _number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        return " (user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1)"
    if "Seccomp:\t2" in Path("/proc/self/status").read_text(encoding="ascii", errors="replace"):
        return (
            " (the container's seccomp profile, like RuntimeDefault, closes namespaces: a Localhost profile"
            " that allows unshare, clone, mount, umount2, pivot_root and mount_setattr opens them;"
            " docs/SANDBOX.md has one)"
        )
    return ""


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
