"""What an attack would damage on the host, and how a test sees that it did.

A directory that everyone may write to with a secret in it, servers on every kind of socket, and a victim: a
process of the very user the sandbox runs as. Only the sandbox stands between an attack and these.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from services.sandbox.fork_server import UNPRIVILEGED_UID

VARIABLE = "ATLAS_ESCAPE_SECRET"
WATCHED = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", "/etc", "/home", "/root", "/dev")
_PR_SET_CHILD_SUBREAPER = 36
_GONE_S = 5.0


def user() -> int:
    """The user that runs have on the host."""
    return UNPRIVILEGED_UID if os.getuid() == 0 else os.getuid()


def as_user() -> dict[str, object]:
    """Arguments of `subprocess.Popen` that start a process as that user."""
    return {"user": user(), "group": user(), "extra_groups": []} if os.getuid() == 0 else {}


class Scene:
    """Everything there is to damage. `broken` says what was; `mend` puts it right again."""

    def __init__(self) -> None:
        self.secret = f"atlas-secret-{secrets.token_hex(12)}"
        self.mark = f"atlas-mark-{secrets.token_hex(6)}"
        self.key = secrets.randbelow(1 << 30) + 1
        self.directory = Path(tempfile.mkdtemp(prefix="atlas-escape-"))
        self._sockets = _Sockets(self.directory)
        os.environ[VARIABLE] = self.secret
        self.mend()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del os.environ[VARIABLE]
        self._sockets.close()
        self._kill_victim()
        self._remove_marked()
        shutil.rmtree(self.directory)

    @property
    def targets(self) -> str:
        """What an attack is told, as one line of JSON: where everything is, but not the secret."""
        return json.dumps(
            {
                "directory": str(self.directory),
                "canary": str(self.directory / "canary"),
                "victim": self._victim.pid,
                "executor": os.getpid(),
                "mark": self.mark,
                "key": self.key,
                **self._sockets.targets,
            }
        )

    def mend(self) -> None:
        """Make everything as it should be."""
        self._kill_victim()
        self._remove_marked()
        for path in self.directory.iterdir():
            if path != self._sockets.path:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        canary, empty = self.directory / "canary", self.directory / "empty"
        canary.write_text(self.secret + "\n", encoding="ascii")
        empty.mkdir()
        for path in (canary, empty, self.directory, self._sockets.path):
            os.chown(path, user(), -1)
            path.chmod(0o777 if path != canary else 0o666)
        if self._ipc():
            subprocess.run(["ipcrm", *(f"-{kind}{self.key:#x}" for kind in "MSQ")], check=False)
        self._sockets.contacts()
        self._victim = subprocess.Popen(
            ["sleep", "900"],
            env={VARIABLE: self.secret},
            cwd="/",
            stdin=subprocess.DEVNULL,
            **as_user(),  # type: ignore[call-overload]
        )
        self._calm = self._victim_now()
        self._files = self._files_now()

    def broken(self) -> dict[str, str]:
        """Witness to what it has seen since `mend`; empty if nothing happened."""
        found: dict[str, str] = {}
        if (files := self._files_now()) != self._files:
            found["files"] = f"{self._files} became {files}"
        if contacts := self._sockets.contacts():
            found["network"] = ", ".join(contacts)
        if (victim := self._victim_now()) != self._calm:
            found["victim"] = f"{self._calm} became {victim}"
        if self._ipc():
            found["ipc"] = "the host has a System V object of the attack"
        return found

    def _files_now(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(self.directory.rglob("*")):
            status = path.lstat()
            times = (status.st_mtime_ns, status.st_ctime_ns) if path.name == "canary" else ()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_nlink, status.st_uid, *times, content)
        found.update((str(path), "new") for path in self._marked())
        return found

    def _marked(self) -> list[Path]:
        """Whatever bears our mark outside the scene."""
        return [path for place in WATCHED for path in Path(place).glob(f"*{self.mark}*")]

    def _remove_marked(self) -> None:
        for path in self._marked():
            with contextlib.suppress(FileNotFoundError):  # /var/run and /run may be one
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def _ipc(self) -> bool:
        """Whether the host's IPC namespace has an object with our key (proc(5), sysvipc)."""
        lines = [
            line
            for kind in ("shm", "sem", "msg")
            for line in Path(f"/proc/sysvipc/{kind}").read_text(encoding="ascii").splitlines()[1:]
        ]
        return any(int(line.split()[0]) == self.key for line in lines)

    def _victim_now(self) -> tuple[object, ...]:
        """The victim's state, priority, limit of descriptors and tracer."""
        deadline = time.monotonic() + 1
        while True:  # it may be on its way from one state to another
            process = psutil.Process(self._victim.pid)
            state = process.status()
            if state in ("sleeping", "zombie", "stopped", "tracing-stop") or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        if state == "zombie":
            return (state,)
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        tracer = next(line for line in text.splitlines() if line.startswith("TracerPid"))
        # Not prlimit(2), which wants a capability that root may lack in a container.
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
        return (state, process.nice(), limits, process.cpu_affinity(), tracer)

    def _kill_victim(self) -> None:
        if hasattr(self, "_victim"):
            self._victim.kill()
            self._victim.wait()


class _Sockets:
    """Servers that wait to be reached."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "server"
        abstract = f"atlas-{secrets.token_hex(8)}"
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._unix, self._abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._unix.bind(str(self.path))
        self._abstract.bind(f"\0{abstract}")
        for server in (self._unix, self._abstract):
            server.listen()
        for server in self._all():
            server.setblocking(False)
        self.targets = {
            "tcp_port": self._tcp.getsockname()[1],
            "udp_port": self._udp.getsockname()[1],
            "unix": str(self.path),
            "abstract": abstract,
        }

    def _all(self) -> tuple[socket.socket, ...]:
        return self._tcp, self._udp, self._unix, self._abstract

    def contacts(self) -> list[str]:
        """Who has come since the last call."""
        found = []
        for server in (self._tcp, self._unix, self._abstract):
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = server.accept()
                    connection.close()
                    found.append(f"a connection to {server.getsockname()!r}")
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(f"a datagram {self._udp.recv(100)!r}")
        return found

    def close(self) -> None:
        for server in self._all():
            server.close()


# ---------------------------------------------------------------- processes


def adopt_orphans() -> None:
    """Let whatever a run leaves behind become our child, so that none is out of sight (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3)


def launchers() -> list[psutil.Process]:
    """The fork servers' launchers among our children."""
    return [child for child in psutil.Process().children() if _is_launcher(child)]


def _is_launcher(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "forkserver/main.py" in " ".join(
            process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False


def slot_servers() -> list[psutil.Process]:
    """The launchers' children."""
    found = []
    for launcher in launchers():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += launcher.children()
    return found


def runs() -> list[psutil.Process]:
    """Processes that are neither launchers nor slot servers, but come from them."""
    found = []
    for server in slot_servers():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += server.children(recursive=True)
    return found + orphans()


def orphans() -> list[psutil.Process]:
    """Our own living children that come from a launcher, a slot server or a run."""
    found = []
    for child in psutil.Process().children():
        try:
            parent_is_new = child.environ().get("PYTHONHASHSEED") == "0" and not _started_here(child)
            if child.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if parent_is_new:
            found.append(child)
    return found


def kill_orphans() -> None:
    """End them."""
    for process in orphans():
        kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, 0)


def _started_here(process: psutil.Process) -> bool:
    """True for a launcher itself: it leads its session from its start."""
    return os.getsid(process.pid) == process.pid and _is_launcher(process)


def left_running() -> list[str]:
    """Runs that still live some time after their end; [] as soon as there are none."""
    deadline = time.monotonic() + _GONE_S
    while (found := runs()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [f"{process.pid} {process.name()}" for process in found if process.is_running()]


def kill(process: psutil.Process, number: signal.Signals) -> bool:
    """Signal a process; whether it was still there."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True
