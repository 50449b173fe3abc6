"""The file system a run sees at the `namespaces` level: read-only, with only what Python needs in it.

An empty tmpfs becomes the root; Python's library, the shared libraries and four devices are bind-mounted into
it, read-only, at the paths they have outside; `/box` is where each run gets a tmpfs of its own. There is no
/proc, no /sys, no /etc but the loader's cache and the time zone, and no program to execute.
"""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from services.sandbox.forkserver import linux

BOX = "/box"
# Where the new root is put together; whichever exists. What it hides is reached by descriptor.
_STAGING = ("/tmp", "/mnt", "/media", "/var/tmp", "/srv", "/opt")  # noqa: S108
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")

_LOCKED = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID
_ROOT_BYTES, _BOX_INODES = 1 << 20, 1024


def libraries() -> list[str]:
    """Directories of Python's library and of the shared libraries it may load."""
    triplet = f"{platform.machine()}-linux-gnu"
    system = ("/lib64", "/usr/lib64", f"/lib/{triplet}", f"/usr/lib/{triplet}")
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    mapped = sorted({str(Path(line.split(None, 5)[5]).parent) for line in maps if ".so" in line})
    wanted = [*sys.path, *mapped, *system]
    return [path for path in dict.fromkeys(wanted) if path.startswith("/") and Path(path).is_dir()]


def readable() -> list[str]:
    """Everything a run may read, but the devices."""
    return [*libraries(), *(path for path in _FILES if Path(path).exists())]


def enter(paths: Iterable[str]) -> None:
    """Make a root of `paths` and the devices, and move this process into it. Needs a mount namespace.

    Raises:
        OSError: a mount was refused.
    """
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    wanted = [*_outermost(paths), *(path for path in DEVICES if Path(path).exists())]
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in wanted}
    root = next(path for path in _STAGING if Path(path).is_dir())
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("atlas", root, "tmpfs", flags, f"size={_ROOT_BYTES},mode=0755")
    for path, source in sources.items():
        _bind(source, path, Path(root + path))
        os.close(source)
    Path(root + BOX).mkdir()
    linux.set_mount_attributes(root, linux.MOUNT_ATTR_RDONLY, recursive=False)
    linux.pivot_root(root)


class Box:
    """The tmpfs on /box, where a run starts: an untouched one for each."""

    def __init__(self, size_bytes: int) -> None:
        self._options = f"size={size_bytes},nr_inodes={_BOX_INODES},mode=0700"
        self._mount()

    def renew(self) -> None:
        """Replace it by a new one, unless the last run left no trace in it.

        Whatever is made or removed in a directory changes its times, and no run can set those back.
        """
        if self._times() != self._untouched:
            os.chdir("/")
            linux.umount(BOX)
            self._mount()

    def _mount(self) -> None:
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_NOATIME
        linux.mount("atlas", BOX, "tmpfs", flags, self._options)
        os.chdir(BOX)
        self._untouched = self._times()

    def _times(self) -> tuple[int, int, int]:
        found = os.stat(BOX)  # noqa: PTH116 - this runs between runs, and pathlib touches many pages
        return found.st_mtime_ns, found.st_ctime_ns, found.st_atime_ns


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without those that lie inside another: the mount of that one brings them along."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda p: p.count("/")):
        if not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _bind(source: int, path: str, target: Path) -> None:
    if stat.S_ISDIR(os.fstat(source).st_mode):
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    linux.mount(f"/proc/self/fd/{source}", str(target), "none", linux.MS_BIND | linux.MS_REC)
    device = linux.MOUNT_ATTR_NOEXEC if path in DEVICES else linux.MOUNT_ATTR_NODEV
    linux.set_mount_attributes(str(target), _LOCKED | device)
