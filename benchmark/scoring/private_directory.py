"""A private temporary directory that says whether its owner still lives, so that the next can clear up.

The owner holds a lock (flock(2)) on the directory itself. The kernel lets go of it when the owner ends,
however it ends: no process id is kept, so none can be mistaken for another's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path


class PrivateDirectory:
    """Made by `make`; gone after `close`, or when the next one is made after its owner has died."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def make(cls, prefix: str) -> PrivateDirectory:
        """A new directory for this user alone; those of that prefix whose owners have died are removed.

        Raises:
            OSError: it cannot be made.
        """
        remove_stale(prefix)
        while True:
            path = Path(tempfile.mkdtemp(prefix=prefix))
            lock = _lock(path)
            if lock is not None:
                return cls(path, lock)
            # Someone clearing up came between the two calls, and has removed it or is about to.

    def close(self) -> None:
        """Remove it. Does nothing twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def remove_stale(prefix: str) -> None:
    """Remove this user's directories of that prefix that nobody holds; what resists is left alone."""
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _lock(path: Path) -> int | None:
    """The lock of a directory of this user; None if another holds it, or there is no such directory."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        held = os.fstat(lock)
        if held.st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = path.lstat()
            if stat.S_ISDIR(here.st_mode) and (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino):
                return lock
    except OSError:
        pass
    os.close(lock)
    return None
