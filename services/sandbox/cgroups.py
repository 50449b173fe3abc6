"""A memory and a task limit around each slot, where cgroups are writable: version 1 or 2.

The backstop behind the rlimits: it also counts what the kernel holds for a run. An executor without the right
to make groups (most of those that are not root) does without. Ours are one directory below the executor's own
group (`services.sandbox.own_cgroup`), in each hierarchy that is used.

Not covered: CPU shares and I/O (a run's CPU time is limited by rlimits and watched by the executor).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import StartupError
from services.sandbox.own_cgroup import Place, own_groups

log = logging.getLogger(__name__)

PREFIX = "atlas-sandbox-"
_NAME = re.compile(rf"{PREFIX}(\d+)-(\d+)\.\d+(-executor)?")
_LEAF = "-executor"
_NEEDED = ("memory", "pids")
_GONE_S = 2.0
_ENABLE_TRIES = 10
_counter = itertools.count(1)


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
    """The group or groups of one slot.

    Raises:
        StartupError: a limit did not take.
    """

    def __init__(self, memory: Path, tasks: Path, files: _Files, memory_bytes: int, most_tasks: int) -> None:
        self._memory, self._tasks, self._files = memory, tasks, files
        self._bytes = sys.maxsize  # a new group has no limit
        for group in self._groups():
            group.mkdir()
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
        """Limit memory, and memory with swap, to `limit` bytes (whole pages, rounded down).

        Raises:
            StartupError: it did not take.
            OSError: version 1 refuses a limit below what is in use and cannot be reclaimed.
        """
        if limit == self._bytes:
            return
        memory, swap = self._memory / self._files.memory, self._memory / self._files.swap
        page = os.sysconf("SC_PAGE_SIZE")
        wanted = limit - limit % page
        if self._files is _V2:
            _write(memory, wanted)
            if swap.exists():
                _write(swap, 0)
        else:
            # Memory and swap are counted together, and that limit may never be the smaller of the two.
            both = [memory] + ([swap] if swap.exists() else [])
            for path in both if limit < self._bytes else reversed(both):
                _write(path, wanted)
        self._bytes = limit

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for want of memory."""
        text = (self._memory / self._files.events).read_text(encoding="ascii")
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

    def kill(self) -> None:
        """Kill whatever is inside, and wait up to two seconds for it to go."""
        at_once = self._memory / "cgroup.kill"  # version 2, since Linux 5.14
        if at_once.exists():
            at_once.write_text("1", encoding="ascii")
        for group in self._groups():
            _kill(group)

    def remove(self) -> None:
        """Remove the groups, with whatever is inside."""
        self.kill()
        for group in self._groups():
            _remove(group)

    def _groups(self) -> list[Path]:
        return list(dict.fromkeys((self._memory, self._tasks)))


class Root:
    """The groups of one runner: a directory in each hierarchy that is used."""

    def __init__(self, memory: Path, tasks: Path, files: _Files) -> None:
        self._memory, self._tasks, self._files = memory, tasks, files
        self._slots: list[Slot] = []
        self._leaf: Path | None = None
        try:
            for directory in self._directories():
                directory.mkdir()
            if files is _V2:
                self._leaf = _enable(memory)
        except BaseException:
            self.remove()
            raise

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
        """Remove everything; may be called again."""
        while self._slots:
            self._slots.pop().remove()
        for directory in self._directories():
            # Also a slot that failed half-way.
            for group in (*directory.glob("*/"), directory):
                _remove(group)
        if self._leaf is not None:
            _move_back(self._leaf)
            self._leaf = None

    def _directories(self) -> list[Path]:
        return list(dict.fromkeys((self._memory, self._tasks)))


def find(proc: Path = Path("/proc/self"), name: str = "") -> Root | None:
    """The place for our groups, made; None where cgroups are not writable, and the log says why.

    What earlier executors left, anywhere in the hierarchies, is removed first.

    Args:
        proc: where to read which groups this process is in, and where they are mounted.
        name: of our directory; default: by this process and the number of its runner.
    """
    name = name or f"{PREFIX}{os.getpid()}-{_started(os.getpid())}.{next(_counter)}"
    try:
        own = own_groups(proc)
        if all(controller in own for controller in _NEEDED):
            memory, tasks = (own[controller] for controller in _NEEDED)
            sweep(memory.mount, tasks.mount)
            return Root(memory.group / name, tasks.group / name, _V1)
        if "" not in own:
            log.info("no cgroups: none with the memory and pids controllers is mounted")
            return None
        return _unified(own[""], name)
    except OSError as error:
        log.info("no cgroups: %s", error)
        return None


def sweep(*hierarchies: Path) -> None:
    """Remove the groups of executors that have ended, with whatever still runs in them.

    Whether one in another pid namespace has ended cannot be seen from here. While it has processes, all its
    groups are left alone: version 2 lists them as 0, version 1 not at all, but the group is busy.
    """
    for left in [found for mount in hierarchies for found in mount.glob(f"**/{PREFIX}*")]:
        match = _NAME.fullmatch(left.name)
        # A process that got the number of a dead executor started at another time.
        if match is None or _started(int(match[1])) == int(match[2]):
            continue
        if match[3]:  # an executor's leaf: whoever is in there now is none of ours to kill
            with contextlib.suppress(OSError):
                left.rmdir()
            continue
        groups = (*left.glob("*/"), left)
        if any(_has_strangers(group) for group in groups):
            continue
        for group in groups:
            if not _kill(group) and _is_busy(group):
                break
            _remove(group)


def _unified(place: Place, name: str) -> Root | None:
    """Version 2."""
    own = place.group
    if _NAME.fullmatch(own.name) and own.name.endswith(_LEAF):
        own = own.parent  # another executor has moved us
    available = (own / "cgroup.controllers").read_text(encoding="ascii").split()
    if not set(_NEEDED) <= set(available):
        log.info("no cgroups: the memory and pids controllers are not delegated to %s", own)
        return None
    sweep(place.mount)
    return Root(own / name, own / name, _V2)


def _enable(directory: Path) -> Path | None:
    """Let a new directory's children be limited; the leaf our processes had to move to, if they had to.

    Version 2 limits the children only of a group that has no processes itself (cgroups(7), "no internal
    processes"), the root of the whole tree excepted; so all in our own group move to a child of it first.
    """
    own, leaf = directory.parent, None
    enabled = (own / "cgroup.subtree_control").read_text(encoding="ascii").split()
    if not set(_NEEDED) <= set(enabled):
        if (own / "cgroup.type").exists():  # the root has none
            leaf = directory.with_name(directory.name + _LEAF)
            leaf.mkdir()
        try:
            _enable_children(own, leaf)
        except BaseException:
            if leaf is not None:
                _move_back(leaf)
            raise
    _enable_children(directory, None)
    return leaf


def _enable_children(group: Path, leaf: Path | None) -> None:
    text = " ".join(f"+{controller}" for controller in _NEEDED)
    for tries_left in reversed(range(_ENABLE_TRIES)):
        if leaf is not None:
            _move(group, leaf)
        try:
            (group / "cgroup.subtree_control").write_text(text, encoding="ascii")
        except OSError:  # EBUSY: someone forked meanwhile
            if leaf is None or not tries_left:
                raise
        else:
            return


def _move(source: Path, target: Path) -> None:
    for pid in _pids(source):
        with contextlib.suppress(ProcessLookupError):
            (target / "cgroup.procs").write_text(str(pid), encoding="ascii")


def _move_back(leaf: Path) -> None:
    """Undo the move, unless another executor still needs it."""
    text = " ".join(f"-{controller}" for controller in _NEEDED)
    try:
        (leaf.parent / "cgroup.subtree_control").write_text(text, encoding="ascii")
        _move(leaf, leaf.parent)
        leaf.rmdir()
    except OSError as error:
        log.info("the cgroup %s stays: %s", leaf, error)


def _kill(group: Path) -> bool:
    """Kill who is in a group, and return whether anyone was."""
    deadline, found = time.monotonic() + _GONE_S, False
    while (pids := _pids(group)) and time.monotonic() < deadline:
        found = True
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        time.sleep(0.002)
    return found


def _is_busy(group: Path) -> bool:
    """Remove a group, if nobody is in it; return whether somebody is."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _pids(group: Path) -> list[int]:
    """Processes in a group that our pid namespace shows."""
    return [pid for pid in _procs(group) if pid > 0]


def _has_strangers(group: Path) -> bool:
    """Whether a process is in a group that our pid namespace does not show: it reads 0, not ours to touch."""
    return 0 in _procs(group)


def _procs(group: Path) -> list[int]:
    try:
        text = (group / "cgroup.procs").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(pid) for pid in text.split()]


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _GONE_S
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # EBUSY: its processes are still on their way out
            if not group.exists():  # a read-only mount, as in a pod, says EROFS of what was never made
                return
            if time.monotonic() > deadline:
                log.warning("the cgroup %s stays: %s", group, error)
                return
            time.sleep(0.005)
        else:
            return


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), stat, field 22); None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _write(path: Path, value: int) -> None:
    """Write a limit and read it back.

    Raises:
        StartupError: it did not take.
    """
    path.write_text(str(value), encoding="ascii")
    got = path.read_text(encoding="ascii").strip()
    if got != str(value):
        raise StartupError(f"the cgroup limit {path} did not take: wanted {value}, reads {got}")
