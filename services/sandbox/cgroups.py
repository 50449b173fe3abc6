"""A memory and a task limit around each slot, where cgroups are writable: version 1 or 2.

The backstop behind the rlimits: it also counts what the kernel holds for a run. An executor without the right
to make groups (most of those that are not root) does without.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import StartupError

log = logging.getLogger(__name__)

PREFIX = "atlas-sandbox-"
_GONE_S = 2.0


@dataclass(frozen=True)
class _Files:
    """How a version names things; `swap` may be missing."""

    memory: str
    swap: str
    tasks: str
    events: str


_V1 = _Files("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "pids.max", "memory.oom_control")
_V2 = _Files("memory.max", "memory.swap.max", "pids.max", "memory.events")


class Slot:
    """The group or groups of one slot."""

    def __init__(self, memory: Path, tasks: Path, files: _Files, memory_bytes: int, most_tasks: int) -> None:
        self._memory, self._tasks, self._files = memory, tasks, files
        self._bytes = sys.maxsize  # a new group has no limit
        for group in self._groups():
            group.mkdir(exist_ok=True)
        self.set_memory(memory_bytes)
        _write(tasks / files.tasks, most_tasks)

    def add(self, pid: int) -> None:
        """Move a process in; its children will be in from their start.

        Raises:
            OSError: it has gone, or may not be moved.
        """
        for group in self._groups():
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def set_memory(self, limit: int) -> None:
        """Limit memory, and memory with swap, to `limit` bytes.

        Raises:
            StartupError: it did not take.
        """
        if limit == self._bytes:
            return
        swap = self._memory / self._files.swap
        # Version 1 counts memory and swap together, and never lets that be the smaller of the two.
        together = self._files is _V1 and swap.exists()
        first, second = (
            (swap, None) if together and limit > self._bytes else (None, swap if together else None)
        )
        for path in (first, self._memory / self._files.memory, second):
            if path is not None:
                _write(path, limit)
        if not together and swap.exists():
            _write(swap, 0)
        self._bytes = limit

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for want of memory."""
        text = (self._memory / self._files.events).read_text(encoding="ascii")
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

    def kill(self) -> None:
        """Kill whatever is inside, and wait for it to go."""
        deadline = time.monotonic() + _GONE_S
        while (pids := self._pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(0.002)

    def remove(self) -> None:
        """Remove the groups, with whatever is inside."""
        self.kill()
        for group in self._groups():
            _remove(group)

    def _groups(self) -> list[Path]:
        return list(dict.fromkeys((self._memory, self._tasks)))

    def _pids(self) -> set[int]:
        pids: set[int] = set()
        for group in self._groups():
            with contextlib.suppress(OSError):
                pids.update(map(int, (group / "cgroup.procs").read_text(encoding="ascii").split()))
        return pids


class Root:
    """The groups of this executor: one directory, in each hierarchy that is used."""

    def __init__(self, memory: Path, tasks: Path, files: _Files) -> None:
        self._memory, self._tasks, self._files = memory, tasks, files
        self._slots: list[Slot] = []

    def slot(self, name: str, *, memory_bytes: int, tasks: int) -> Slot:
        """Make the groups of one slot.

        Raises:
            StartupError: a limit did not take.
        """
        try:
            slot = Slot(self._memory / name, self._tasks / name, self._files, memory_bytes, tasks)
        except OSError as error:
            raise StartupError(f"cannot make a cgroup: {error}") from error
        self._slots.append(slot)
        return slot

    def remove(self) -> None:
        """Remove everything."""
        for slot in self._slots:
            slot.remove()
        for directory in dict.fromkeys((self._memory, self._tasks)):
            _remove(directory)


def find(proc: Path = Path("/proc/self"), name: str | None = None) -> Root | None:
    """The place for our groups, made; None where cgroups are not writable.

    Args:
        proc: where to read which groups this process is in, and where they are mounted.
        name: of our directory; default: by this process's pid.
    """
    name = name or f"{PREFIX}{os.getpid()}"
    try:
        mounts, own = _mounts(proc), _own(proc)
        if "memory" in own and "pids" in own:
            memory, tasks = (mounts[kind] / own[kind].lstrip("/") for kind in ("memory", "pids"))
            _sweep(mounts["memory"], mounts["pids"])
            return _make(memory / name, tasks / name, _V1)
        _sweep(mounts["unified"])
        return _unified(mounts["unified"] / own[""].lstrip("/"), name)
    except (OSError, KeyError) as error:
        log.info("no cgroups: %r", error)
        return None


def _unified(own: Path, name: str) -> Root | None:
    """Version 2: only a group without processes may limit its children, so ours move to a leaf first."""
    available = (own / "cgroup.controllers").read_text(encoding="ascii").split()
    if not {"memory", "pids"} <= set(available):
        log.info("no cgroups: the memory and pids controllers are not delegated to %s", own)
        return None
    root = _make(own / name, own / name, _V2)
    enabled = (own / "cgroup.subtree_control").read_text(encoding="ascii").split()
    if not {"memory", "pids"} <= set(enabled):
        leaf = own / f"{name}-executor"
        leaf.mkdir(exist_ok=True)
        for pid in (own / "cgroup.procs").read_text(encoding="ascii").split():
            (leaf / "cgroup.procs").write_text(pid, encoding="ascii")
        (own / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
    (own / name / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
    return root


def _make(memory: Path, tasks: Path, files: _Files) -> Root:
    for directory in (memory, tasks):
        directory.mkdir(exist_ok=True)
    return Root(memory, tasks, files)


def _sweep(*hierarchies: Path) -> None:
    """Remove what executors left that are no longer there, wherever in a hierarchy they were."""
    for hierarchy in hierarchies:
        for left in hierarchy.glob(f"**/{PREFIX}*"):
            pid = left.name[len(PREFIX) :].split("-")[0]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                for group in (*left.glob("*/"), left):
                    _remove(group)


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _GONE_S
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # EBUSY: its processes are still on their way out
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)
        else:
            return


def _own(proc: Path) -> dict[str, str]:
    """Our group by controller; version 2's under ""."""
    found: dict[str, str] = {}
    for line in (proc / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update((controller, path) for controller in controllers.split(","))
    return found


def _mounts(proc: Path) -> dict[str, Path]:
    """Where each controller's hierarchy is mounted (proc(5), mountinfo); version 2's under `unified`."""
    found: dict[str, Path] = {}
    for line in (proc / "mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        where = Path(before.split(" ")[4])
        if kind == "cgroup2":
            found["unified"] = where
        elif kind == "cgroup":
            found.update((option, where) for option in options.split(","))
    return found


def _write(path: Path, value: int) -> None:
    """Write a limit and read it back.

    Raises:
        StartupError: it did not take.
    """
    path.write_text(str(value), encoding="ascii")
    got = path.read_text(encoding="ascii").strip()
    # Memory is limited in whole pages, rounded down.
    if not got.isdigit() or not 0 <= value - int(got) < os.sysconf("SC_PAGE_SIZE"):
        raise StartupError(f"the cgroup limit {path} did not take: wanted {value}, reads {got}")
