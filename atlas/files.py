"""Files that outlive a kill: locks that the kernel frees, whole files, renames that reach the disk."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def take_lock(path: Path) -> int:
    """Take the exclusive lock of a lock file and return its descriptor; closing it, or dying, frees it.

    Raises:
        BlockingIOError: someone else holds it.
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def write_whole(path: Path, text: str, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file whole or not at all, never readable by more than `mode` says, nor by another than `owner`.

    Args:
        path: in a directory that is there.
        text: what it is to hold.
        mode: its permissions.
        owner: user and group; None: whoever writes it.

    Raises:
        OSError: from the file system.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.chmod(mode)
    if owner is not None:
        os.chown(new, *owner)
    new.replace(path)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable (fsync).

    Raises:
        OSError: from the file system.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
