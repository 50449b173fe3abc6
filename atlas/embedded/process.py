"""A child process that cannot outlive its parent, with a log to quote when it fails.

Ctrl-C reaches only the parent (children have a session of their own), so the parent stops them in order.

Note for callers with threads: Linux delivers the parent-death signal when the *thread* that started the
child ends. Call `Child.spawn` from a thread that lives as long as the stack (the event loop's); waiting
(`wait_ready`, `stop`) may happen in any thread.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import StartupError

TRAMPOLINE = Path(__file__).with_name("trampoline.py")
LOG_BYTES_KEPT = 10_000_000
POLL_S = 0.02

# What a child needs of our environment to find its programs, libraries and temporary files.
PLAIN_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass
class Child:
    """One running (or ended) child process. Its stdout and stderr go to `log_path`."""

    name: str
    argv: list[str]
    log_path: Path
    popen: subprocess.Popen[bytes]
    log_start: int

    @classmethod
    def spawn(
        cls,
        name: str,
        argv: Sequence[str],
        run_dir: Path,
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start `argv`; its log is `run_dir/{name}.log` (appended; set aside at 10 MB).

        Raises:
            StartupError: the log cannot be written.
        """
        log_path = run_dir / f"{name}.log"
        command = [sys.executable, "-I", "-S", str(TRAMPOLINE), str(os.getpid()), *argv]
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            if log_path.exists() and log_path.stat().st_size > LOG_BYTES_KEPT:
                log_path.replace(log_path.with_suffix(".log.1"))
            with log_path.open("ab") as log:
                start = log.tell()
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    start_new_session=True,
                    pass_fds=tuple(pass_fds),
                )
        except OSError as error:
            raise StartupError(f"cannot start {name}: {error}; is {run_dir} writable?") from error
        return cls(name, list(argv), log_path, popen, start)

    @property
    def pid(self) -> int:
        """Process id; the same before and after the trampoline's exec."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """True while the process runs (reaps it when it has ended)."""
        return self.popen.poll() is None

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of what this run has logged (at most 8 kB)."""
        try:
            with self.log_path.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self.log_start, end - 8192))
                text = log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def how_ended(self) -> str:
        """Say how the process ended."""
        code = self.popen.returncode
        return f"{self.name} " + (
            f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"exited with {code}"
        )

    def ended(self) -> str:
        """Say how the process ended, with the end of its log."""
        return f"{self.how_ended()}; the end of {self.log_path}:\n{self.tail()}"

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return as soon as `ready()` is true; on failure the child has been stopped.

        Raises:
            StartupError: the child ended, or was not ready in time; quotes its log.
        """
        deadline = time.monotonic() + timeout_s
        pause = POLL_S
        while True:
            if not self.alive:
                raise StartupError(self.ended())
            if ready():
                return
            if time.monotonic() > deadline:
                self.stop(timeout_s=2.0)
                raise StartupError(
                    f"{self.name} was not ready after {timeout_s:.0f} s; "
                    f"the end of {self.log_path}:\n{self.tail()}"
                )
            time.sleep(pause)
            pause = min(pause * 1.3, 0.25)

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM, wait, then SIGKILL for the child's whole session group. Does nothing twice."""
        if self.alive:
            self.popen.terminate()
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._kill_group()

    def kill(self) -> None:
        """SIGKILL, at once, with everything the child started in its group."""
        self._kill_group()
        self.popen.wait()

    def _kill_group(self) -> None:
        # start_new_session made the child its group's leader, so the group's id is its pid; while the
        # group has a member the kernel does not give that number to anyone else.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def plain_environment(**extra: str) -> dict[str, str]:
    """Return the few variables a child needs, plus `extra`: no secret of ours is inherited."""
    return {key: os.environ[key] for key in PLAIN_ENV if key in os.environ} | extra


def short_socket(run_dir: Path, name: str) -> Path:
    """Return a path for a unix socket: in `run_dir`, or in a private short directory if that is too long.

    A socket's path must fit 108 bytes with its final NUL (unix(7)). The short directory depends on
    `run_dir` only, so a restart finds the same path.

    Raises:
        StartupError: the short directory exists and is not ours alone.
    """
    import hashlib
    import tempfile

    path = run_dir / name
    if len(os.fsencode(path)) < 108:
        return path
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"atlas-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or short.is_symlink():
        raise StartupError(f"{short} is not a private directory of this user; remove it or shorten DATA_DIR")
    return short / name
