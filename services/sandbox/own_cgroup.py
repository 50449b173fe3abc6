"""Where a process's own control groups lie, by /proc/self/cgroup and /proc/self/mountinfo (cgroups(7))."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A hierarchy's mount point, and our own group in it."""

    mount: Path
    group: Path


def own_groups(proc: Path) -> dict[str, Place]:
    """Return where our group is, by controller, if it can be seen; version 2's under "".

    `proc`: the directory of the process, /proc/self.

    Raises:
        OSError: one of its files cannot be read.
    """
    paths: dict[str, str] = {}
    for line in (proc / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update((controller, path) for controller in controllers.split(","))
    found: dict[str, Place] = {}
    for controller, root, where in _mounts(proc):
        # A container may see only its own part of a hierarchy, whose root is then not "/".
        if controller in paths and (inside := _relative(paths[controller], root)) is not None:
            found[controller] = Place(Path(where), Path(where, inside))
    return found


def _mounts(proc: Path) -> list[tuple[str, str, str]]:
    """Controller, root within the hierarchy and mount point of each mounted one (proc(5), mountinfo)."""
    found: list[tuple[str, str, str]] = []
    for line in (proc / "mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, where = (_unescaped(text) for text in before.split(" ")[3:5])
        if kind == "cgroup2":
            found.append(("", root, where))
        elif kind == "cgroup":
            found.extend((option, root, where) for option in options.split(","))
    return found


def _relative(path: str, root: str) -> str | None:
    """The rest of `path` below `root`; None if it is not below."""
    if root == "/":
        return path.lstrip("/")
    return path[len(root) + 1 :] if f"{path}/".startswith(f"{root}/") else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
