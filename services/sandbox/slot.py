"""One slot as the executor sees it: sends a run to its slot server, follows it, kills it at its limits.

No verdicts here, only facts. A slot is used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal

from services.sandbox.cgroups import Slot as Cgroup
from services.sandbox.fork_server import ForkServer, LostError, SlotProcess
from services.sandbox.forkserver import child, wire
from services.sandbox.host import waited_s

RUNS_A_SERVER = 1000
START_S = 10.0
# Status lines and errors must fit beside a program's own output, however small its limit.
LEAST_FILE_BYTES = 64 << 10
STDERR_KEPT_BYTES = 8 << 10
# Kernel memory, page tables, the interpreter's own pages: the cgroup is the backstop behind RLIMIT_AS.
CGROUP_EXTRA_BYTES = 128 << 20
CGROUP_TASKS = 128
_LONGEST_NAP_S = 0.1
_MOST_PATIENCE = 4  # times the wall limit, for time spent waiting for a core

Killed = Literal["", "cpu", "wall", "stopped", "oom"]


@dataclass(frozen=True)
class Job:
    """One run. `code` is a memory file's descriptor; `output_bytes` caps stdout or the returned value."""

    code: int
    compiled: bool
    kind: child.Kind
    entry_point: str
    input: bytes
    time_s: float
    wall_s: float
    memory_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Ended:
    """The bare facts of a finished run.

    Attributes:
        killed: why we killed it, if we did.
        returncode: exit status, or minus the signal that ended it.
        cpu_s, wall_s: used by the program; wall includes its start.
        memory_mb: peak resident memory.
        output, stderr: what was written, stderr's end only.
        start, end: the child's two lines (`forkserver.program`), if it wrote them.
        waited_s: time it was ready to run but had no core; known for runs that met the wall clock.
    """

    killed: Killed
    returncode: int
    cpu_s: float
    wall_s: float
    memory_mb: float
    output: bytes
    stderr: bytes
    start: wire.Message = field(default_factory=dict)
    end: wire.Message = field(default_factory=dict)
    waited_s: float = 0.0


class Slot:
    """Where one run happens at a time.

    Args:
        server: returns the living launcher; a new one if the old has died.
        cgroup: limits the slot server and its runs, where cgroups are writable.
        on_restart: called when a slot server is replaced before its time.
    """

    def __init__(
        self,
        server: Callable[[], ForkServer],
        cgroup: Cgroup | None = None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._launcher, self._cgroup, self._on_restart = server, cgroup, on_restart
        self._process: SlotProcess | None = None
        self._runs = self._ooms = 0

    def run(self, job: Job, stop: Event | None = None) -> Ended:
        """Run one job to its end; `stop` kills it early.

        Raises:
            LostError: the slot server could not be started, or died under the run.
            OSError: no descriptors or memory here.
        """
        if self._process is None or self._runs >= RUNS_A_SERVER:
            self._start()
        self._runs += 1
        try:
            with _Files(job) as files:
                return self._run(job, files, stop)
        except BaseException:
            self.close()
            self._on_restart()
            raise

    def close(self) -> None:
        """End the slot server, with whatever it runs."""
        if self._process is not None:
            self._process.sock.close()
            self._process = None
            if self._cgroup is not None:
                self._cgroup.kill()

    def _start(self) -> None:
        self.close()
        try:
            self._process = self._launcher().new_slot()
        except LostError:  # it died, or hangs: the next one will be another
            self._process = self._launcher().new_slot()
        self._runs = 0
        if self._cgroup is not None:
            self._cgroup.add(self._process.pid)
            self._ooms = self._cgroup.oom_kills()

    def _run(self, job: Job, files: _Files, stop: Event | None) -> Ended:
        if self._process is None:
            raise LostError("no slot server")
        sock = self._process.sock
        if self._cgroup is not None:
            self._cgroup.set_memory(job.memory_bytes + CGROUP_EXTRA_BYTES)
        started = time.monotonic()
        try:
            sock.settimeout(START_S)
            wire.send(sock, files.message, files.descriptors)
            message, descriptors = wire.receive(sock)
        except OSError as error:
            raise LostError(f"the slot server has gone: {error}") from error
        if message is None or "pid" not in message:
            raise LostError(
                f"the slot server did not start the run: {(message or {}).get('failed', 'it died')}"
            )
        watch = _Watch(job, files, started, int(str(message["pid"])), descriptors, stop)
        try:
            end = watch.follow(sock)
        finally:
            watch.close()
        wall = time.monotonic() - started
        killed = watch.killed
        if not killed and self._cgroup is not None and end["status"] == signal.SIGKILL:
            before, self._ooms = self._ooms, self._cgroup.oom_kills()
            killed = "oom" if self._ooms > before else ""
        if end["stragglers"]:
            self._runs = RUNS_A_SERVER  # it should not have been possible: a new server for the next run
            self._on_restart()
        return files.ended(end, killed, wall, watch.waited_s)


class _Files:
    """The memory files of one run. A program can fill them up to RLIMIT_FSIZE, and never blocks on them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opened: list[int] = []
        try:
            self._input, self._output, self._stderr, self._start, self._end = (
                self._open(name) for name in child.DESCRIPTORS[1:]
            )
            view = memoryview(job.input)
            while view:
                view = view[os.write(self._input, view) :]
            os.lseek(self._input, 0, os.SEEK_SET)
        except BaseException:
            self.__exit__()
            raise
        self.descriptors = [job.code, *self._opened]
        self.message: wire.Message = vars(
            child.Job(
                kind=job.kind,
                compiled=job.compiled,
                entry_point=job.entry_point,
                time_s=job.time_s,
                memory_bytes=job.memory_bytes,
                # One byte over the cap tells too much from just enough.
                file_bytes=max(job.output_bytes, LEAST_FILE_BYTES) + 1,
            )
        )

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def start(self) -> wire.Message:
        """The child's first line, {} before it is written."""
        return _message(os.pread(self._start, LEAST_FILE_BYTES, 0))

    def ended(self, end: wire.Message, killed: Killed, wall_s: float, waited_s: float) -> Ended:
        """Everything that is known, once the run is over."""
        start = self.start()
        size = os.fstat(self._stderr).st_size
        return Ended(
            killed=killed,
            returncode=os.waitstatus_to_exitcode(int(str(end["status"]))),
            cpu_s=max(0.0, _number(end["cpu_s"]) - _number(start.get("cpu_s"))),
            wall_s=wall_s,
            memory_mb=_number(end["memory_kb"]) / 1024,
            output=_read(self._output, self._job.output_bytes + 1),
            stderr=os.pread(self._stderr, STDERR_KEPT_BYTES, max(0, size - STDERR_KEPT_BYTES)),
            start=start,
            end=_message(os.pread(self._end, LEAST_FILE_BYTES, 0)),
            waited_s=waited_s,
        )

    def _open(self, name: str) -> int:
        fd = os.memfd_create(f"atlas-{name}", os.MFD_CLOEXEC)
        self._opened.append(fd)
        return fd


class _Watch:
    """Waits for the end of one run and enforces what rlimits cannot: wall time, and CPU time finely."""

    def __init__(
        self, job: Job, files: _Files, started: float, pid: int, descriptors: list[int], stop: Event | None
    ) -> None:
        self._job, self._files, self._started, self._stop = job, files, started, stop
        self._pidfd = descriptors[0] if descriptors else None
        self._pid: int | None = None if descriptors else pid  # seen from another pid namespace otherwise
        self._baseline: float | None = None
        self.killed: Killed = ""
        self.waited_s = 0.0

    def follow(self, sock: socket.socket) -> wire.Message:
        """The slot server's last message about the run.

        Raises:
            LostError: there will be none.
        """
        while True:
            nap = 10.0 if self.killed else self._limits()
            sock.settimeout(nap)
            try:
                message, _ = wire.receive(sock)
            except TimeoutError:
                if self.killed and nap == 10.0:
                    raise LostError("a killed run does not end") from None
                continue
            except (OSError, ValueError) as error:
                self._kill()
                raise LostError(f"the slot server has gone: {error}") from error
            if message is None:
                self._kill()
                raise LostError("the slot server died under the run")
            return message

    def close(self) -> None:
        """Let go of the handle."""
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _limits(self) -> float:
        """Kill what is over its limits; else how long it may go unwatched."""
        if self._stop is not None and self._stop.is_set():
            return self._end("stopped")
        elapsed = time.monotonic() - self._started
        wall_left = self._job.wall_s - elapsed
        if wall_left <= 0:
            # On a crowded machine a program that only waits for a core is not to blame; but not for ever.
            self.waited_s = waited_s(self._host_pid())
            wall_left += min(self.waited_s, _MOST_PATIENCE * self._job.wall_s)
            if wall_left <= 0:
                return self._end("wall")
        cpu_left = self._job.time_s
        if elapsed >= _LONGEST_NAP_S and self._ready():
            cpu_left -= _cpu_s(self._host_pid()) - (self._baseline or 0.0)
            if cpu_left <= 0:
                return self._end("cpu")
        return max(0.005, min(wall_left, cpu_left, _LONGEST_NAP_S))

    def _end(self, why: Killed) -> float:
        self.killed = why
        self._kill()
        return 10.0

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            elif self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)

    def _ready(self) -> bool:
        if self._baseline is None and (start := self._files.start()):
            self._baseline = _number(start.get("cpu_s"))
        return self._baseline is not None

    def _host_pid(self) -> int:
        """The run's pid in this process's namespace (proc(5), fdinfo of a pidfd); -1 if it is gone."""
        if self._pid is None:
            text = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text(encoding="ascii")
            self._pid = next((int(ln.split()[1]) for ln in text.splitlines() if ln.startswith("Pid:")), -1)
        return self._pid


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process until now: its CPU clock's id is made as clock_getcpuclockid(3) does."""
    if pid <= 0:
        return 0.0
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it just went
        return 0.0


def _message(line: bytes) -> wire.Message:
    """A line of the child's, {} if it is not one: the program may have written there."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _read(fd: int, most: int) -> bytes:
    size = min(os.fstat(fd).st_size, most)
    data = os.pread(fd, size, 0)
    while len(data) < size and (more := os.pread(fd, size - len(data), len(data))):
        data += more
    return data
