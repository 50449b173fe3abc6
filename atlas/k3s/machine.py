"""The machine that ATLAS is installed on, as far as installing reads and changes it.

One class so that everything can be tried on recorded answers and under another root directory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from atlas.errors import InfrastructureError, StartupError
from atlas.files import write_whole

QUERY_S = 15.0
WORK_S = 7200.0  # an image with a CUDA build takes its time
FETCH_S = 60.0


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed; code 127: it is not there."""

    code: int
    out: str = ""
    err: str = ""


class Machine:
    """This machine, or a directory that stands for its root."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def at(self, path: str) -> Path:
        """Return where a path of the machine is."""
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str:
        """Return a file's text; nothing where there is none to read."""
        try:
            return self.at(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        return self.at(path).exists()

    def which(self, name: str) -> bool:
        """Whether a program is on the PATH."""
        return shutil.which(name) is not None

    def uid(self) -> int:
        """Return the id of the user that this runs as."""
        return os.geteuid()

    def free_mib(self, path: str) -> int:
        """Return the room, in MiB, on the disk of a path or of the nearest directory above it."""
        there = self.at(path)
        while not there.exists():
            there = there.parent
        return shutil.disk_usage(there).free // 2**20

    def port_taken(self, port: int) -> bool:
        """Whether a program listens on a TCP port, at any address."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def ask(self, *command: str) -> Ran:
        """Run a command that changes nothing."""
        return self._run(command, QUERY_S)

    def do(self, *command: str, cwd: Path | None = None) -> str:
        """Run a command that changes something and return what it printed.

        Raises:
            InfrastructureError: it failed; quotes it and the end of what it said.
        """
        ran = self._run(command, WORK_S, cwd)
        if ran.code:
            said = (ran.err.strip() or ran.out.strip())[-2000:]
            raise InfrastructureError(f"`{' '.join(command)}` failed ({ran.code}): {said}", retryable=False)
        return ran.out

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file whole or not at all, never readable by more than `mode` says."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, text, mode)

    def fetch(self, url: str, path: str) -> None:
        """Download a file.

        Raises:
            InfrastructureError: it cannot be had.
        """
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with httpx.stream("GET", url, follow_redirects=True, timeout=FETCH_S) as answer:
                answer.raise_for_status()
                with place.open("wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
        except (httpx.HTTPError, OSError) as error:
            raise InfrastructureError(f"cannot download {url}: {error}") from error

    def take(self, source: str, path: str) -> None:
        """Copy a file of the user's to a path of the machine.

        Raises:
            StartupError: it cannot be read.
        """
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, place)
        except OSError as error:
            raise StartupError(f"cannot copy {source}: {error}") from error

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file, in hexadecimal."""
        digest = hashlib.sha256()
        with self.at(path).open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
        return digest.hexdigest()

    def _run(self, command: Sequence[str], seconds: float, cwd: Path | None = None) -> Ran:
        try:
            ran = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=seconds, cwd=cwd
            )
        except FileNotFoundError:
            return Ran(127, err=f"{command[0]}: not found")
        except (OSError, subprocess.TimeoutExpired) as error:
            return Ran(126, err=str(error))
        return Ran(ran.returncode, ran.stdout, ran.stderr)
