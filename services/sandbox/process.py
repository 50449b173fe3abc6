"""One child process from start to reaped: feed it, read it, kill it at its limits. No verdicts here.

The child gets its own session, an empty environment, a private working directory, its input as a memory
file, and no other descriptor of ours. It dies with the thread that started it (PR_SET_PDEATHSIG is per
thread), so a run must stay on one thread to its end; `run_child` blocks until then.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal

CHILD = Path(__file__).with_name("child.py")
REPORT_EXTRA_BYTES = 64 << 10
STDERR_KEPT_BYTES = 8 << 10
_READ_BYTES = 64 << 10
_LONGEST_NAP_S = 0.1
_MOST_PATIENCE = 4  # times the wall limit, for time spent waiting for a core

Killed = Literal["", "cpu", "wall", "output", "stopped"]


@dataclass(frozen=True)
class Job:
    """What the child is asked. `output_bytes` caps stdout, the returned value and any file it writes."""

    code: str
    kind: Literal["stdin", "function"]
    entry_point: str | None
    input: str
    time_s: float
    wall_s: float
    memory_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Ended:
    """The bare facts of a finished child. `ready` and `end` are its report lines, if it wrote them."""

    killed: Killed
    returncode: int
    cpu_s: float
    wall_s: float
    memory_mb: float
    stdout: bytes
    stderr: bytes
    ready: dict[str, object] = field(default_factory=dict)
    end: dict[str, object] = field(default_factory=dict)
    value: bytes | None = None


class _Stream:
    """The read end of a pipe: keeps the first (or last) `cap` bytes, knows if there were more."""

    def __init__(self, fd: int, cap: int, keep: Literal["first", "last"] = "first") -> None:
        self.fd, self.cap, self.keep = fd, cap, keep
        self.data, self.over = bytearray(), False
        os.set_blocking(fd, False)

    def read(self) -> bool:
        """Take some of what is there. False if nothing was, or nothing more can come."""
        try:
            chunk = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return False
        self.data += chunk
        if len(self.data) > self.cap:
            self.over = self.keep == "first"
            del self.data[slice(self.cap, None) if self.keep == "first" else slice(-self.cap)]
        return bool(chunk)

    def drain(self) -> None:
        """Take the rest once the child is gone."""
        while not self.over and self.read():
            pass


def run_child(job: Job, stop: Event | None = None) -> Ended:
    """Run one job to its end; `stop` kills it early.

    Raises:
        OSError: the machine could not start a process (out of descriptors, processes or memory).
    """
    token = secrets.token_hex(8)
    with contextlib.ExitStack() as cleanup:
        cwd = tempfile.mkdtemp(prefix="atlas-run-")
        cleanup.callback(shutil.rmtree, cwd, ignore_errors=True)
        job_fd = cleanup.enter_context(_memory_file(_job_text(job, token)))
        stdin = job.input if job.kind == "stdin" else ""
        stdin_fd = cleanup.enter_context(_memory_file(stdin.encode("utf-8", "surrogatepass")))
        report_r, report_w = os.pipe()
        cleanup.callback(os.close, report_r)
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(CHILD), str(job_fd), str(report_w)],
                stdin=stdin_fd,
                stdout=subprocess.PIPE if job.kind == "stdin" else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd=cwd,
                pass_fds=(job_fd, report_w),
                start_new_session=True,
                bufsize=0,
            )
        finally:
            os.close(report_w)
        return _Watch(child, job, token, report_r, started, stop).to_the_end()


class _Watch:
    """Supervises one started child."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        job: Job,
        token: str,
        report_fd: int,
        started: float,
        stop: Event | None,
    ) -> None:
        self.child, self.job, self.token, self.started, self.stop = child, job, token, started, stop
        self.report = _Stream(report_fd, job.output_bytes + REPORT_EXTRA_BYTES)
        self.stderr = _Stream(child.stderr.fileno(), STDERR_KEPT_BYTES, "last") if child.stderr else None
        self.stdout = _Stream(child.stdout.fileno(), job.output_bytes) if child.stdout else None
        self.ready: dict[str, object] = {}
        self.memory_mb = 0.0

    def to_the_end(self) -> Ended:
        """Read until the child exits or must be killed; always kill its group, reap it, close its pipes."""
        killed: Killed = "stopped"
        try:
            killed = self._follow()
        finally:
            status, usage = self._kill_and_reap()
            for stream in self._streams():
                stream.drain()
            for pipe in (self.child.stdout, self.child.stderr):
                if pipe is not None:
                    pipe.close()
        if not killed and any(stream.over for stream in self._streams()):
            killed = "output"
        self._look_for_ready()
        end, value = self._parse_end()
        start_up = self.ready.get("cpu_s", 0.0)
        cpu_s = usage.ru_utime + usage.ru_stime - (start_up if isinstance(start_up, float) else 0.0)
        return Ended(
            killed=killed,
            returncode=os.waitstatus_to_exitcode(status),
            cpu_s=max(0.0, cpu_s),
            wall_s=time.monotonic() - self.started,
            memory_mb=self.memory_mb,
            stdout=bytes(self.stdout.data) if self.stdout else b"",
            stderr=bytes(self.stderr.data) if self.stderr else b"",
            ready=self.ready,
            end=end,
            value=value,
        )

    def _streams(self) -> list[_Stream]:
        return [s for s in (self.stdout, self.stderr, self.report) if s is not None]

    def _follow(self) -> Killed:
        pidfd = os.pidfd_open(self.child.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ)
                for stream in self._streams():
                    selector.register(stream.fd, selectors.EVENT_READ, stream)
                while True:
                    killed, nap = self._limits()
                    if killed:
                        return killed
                    for key, _ in selector.select(nap):
                        if key.data is None:
                            return ""
                        if not key.data.read():
                            selector.unregister(key.fd)
        finally:
            os.close(pidfd)

    def _limits(self) -> tuple[Killed, float]:
        """Why the child must be killed now, or how long it may go unwatched."""
        if self.stop is not None and self.stop.is_set():
            return "stopped", 0
        if any(stream.over for stream in self._streams()):
            return "output", 0
        wall_left = self.started + self.job.wall_s - time.monotonic()
        if wall_left <= 0:
            # On a crowded machine a program that only waits for a core is not to blame; but not for ever.
            wall_left += min(_waited_s(self.child.pid), _MOST_PATIENCE * self.job.wall_s)
            if wall_left <= 0:
                return "wall", 0
        cpu_left = math.inf
        if self._look_for_ready():
            start_up = self.ready.get("cpu_s")
            used = _cpu_s(self.child.pid) - (start_up if isinstance(start_up, float) else 0.0)
            cpu_left = self.job.time_s - used
            if cpu_left <= 0:
                return "cpu", 0
        return "", max(0.005, min(wall_left, cpu_left, _LONGEST_NAP_S))

    def _look_for_ready(self) -> bool:
        if not self.ready:
            line, newline, _ = self.report.data.partition(b"\n")
            if newline:
                self.ready = self._believed(bytes(line))
        return "ready" in self.ready

    def _parse_end(self) -> tuple[dict[str, object], bytes | None]:
        lines = bytes(self.report.data).split(b"\n")
        end = self._believed(lines[1]) if len(lines) > 2 else {}
        # A line without its newline was cut off by a kill.
        return end, lines[2] if len(lines) > 3 and end else None

    def _believed(self, line: bytes) -> dict[str, object]:
        """The report line, or {} if it is not the child's: anything may be written to that pipe."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) and found.get("token") == self.token else {}

    def _kill_and_reap(self) -> tuple[int, resource.struct_rusage]:
        self.memory_mb = _peak_memory_mb(self.child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait again
        return status, usage


def _job_text(job: Job, token: str) -> bytes:
    fields = {
        "token": token,
        "parent": os.getpid(),
        "code": job.code,
        "kind": job.kind,
        "entry_point": job.entry_point,
        "input": job.input if job.kind == "function" else "",
        "time_s": job.time_s,
        "memory_bytes": job.memory_bytes,
        "output_bytes": job.output_bytes,
    }
    return json.dumps(fields).encode("ascii")


@contextlib.contextmanager
def _memory_file(data: bytes) -> Iterator[int]:
    """A descriptor positioned at the start of `data`. Unlike a pipe it cannot block whoever fills it."""
    fd = os.memfd_create("atlas-job", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process until now: its CPU clock's id is made as clock_getcpuclockid(3) does."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it just went
        return 0.0


def _waited_s(pid: int) -> float:
    """Seconds a process was ready to run but had no core (its main thread; proc(5), schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError):  # it just went, or the kernel does not count this
        return 0.0


def _peak_memory_mb(pid: int) -> float:
    """Peak resident memory of a living process, 0 for one that has exited."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    return next((int(ln.split()[1]) / 1024 for ln in text.splitlines() if ln.startswith("VmHWM")), 0.0)
