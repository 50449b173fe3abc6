"""The one directory that everything is under, and commands whose output goes to its log."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import StartupError

REPO = Path(__file__).parents[2]
TAIL_LINES = 25


@dataclass(frozen=True)
class Scratch:
    """A scratch directory. What is in it may be deleted at any time that nothing runs."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    def path(self, *parts: str) -> Path:
        """Return a path below the directory, whose parent exists."""
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self, *parts: str) -> Path:
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, text: str) -> None:
        """Show a line, with the time of day, and keep it in the log."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        sys.stderr.write(line + "\n")
        with self.path("log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def run(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command to its end; what it prints is in `logs/NAME.txt`.

        Raises:
            StartupError: it is not there, or its exit code is not 0.
        """
        path = self.path("logs", f"{name}.txt")
        words = [str(word) for word in command]
        with path.open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    words,
                    cwd=cwd,
                    env=None if environment is None else {**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            except FileNotFoundError as error:
                raise StartupError(f"{words[0]} is not installed") from error
        if done.returncode != 0:
            raise StartupError(
                f"{words[0]} ended with exit code {done.returncode}; the whole log is {path}:\n{tail(path)}"
            )

    def once(self, name: str, key: str, make: Callable[[], object]) -> None:
        """Do what was not done to its end before with the same key."""
        stamp = self.path("done", name)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == key:
            self.say(f"{name}: there already")
            return
        stamp.unlink(missing_ok=True)
        began = time.monotonic()
        make()
        stamp.write_text(key, encoding="utf-8")
        self.say(f"{name}: done in {time.monotonic() - began:.0f} s")


def tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])


def key_of(paths: Iterable[Path], *words: str) -> str:
    """Return a hash of files, of all files below directories, and of words."""
    sum_ = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                sum_.update(f"{file.relative_to(path.parent)}\0".encode())
                sum_.update(file.read_bytes())
    return sum_.hexdigest()[:16]


def must_have(programs: Mapping[str, str]) -> None:
    """Look for programs; the mapping says which Debian package has each.

    Raises:
        StartupError: one is not there; the message has the command that installs all that are missing.
    """
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if missing:
        raise StartupError(f"not installed; apt-get install --no-install-recommends {' '.join(missing)}")
