"""The warm process every slot server is a copy of: modules imported, root changed, privileges gone.

It never runs an untrusted program and never reads one. On its socket the executor asks for slots: a message
with one descriptor, the slot's own socket, answered by the slot server's pid.
"""

from __future__ import annotations

import gc
import importlib
import os
import platform
import resource
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from services.sandbox.forkserver import (
    landlock,
    linux,
    lockdown,
    program,
    root,
    seccomp,
    slot_server,
    warm,
    wire,
)

# What contest programs import, besides the prelude's. None of them starts a thread, or brings a large library
# along (hashlib and secrets would: OpenSSL), since every run copies the page tables of all that is here.
USUAL = (
    *("array", "cmath", "contextlib", "dataclasses", "decimal", "enum", "fractions", "queue", "textwrap"),
    *("numbers", "pprint", "string", "time", "timeit", "traceback", "collections.abc"),
    *("encodings.ascii", "encodings.latin_1"),
)
_ALONE = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
)


@dataclass(frozen=True)
class Order:
    """What the executor asks of a launcher.

    Attributes:
        level: `namespaces`, `pod` or `gvisor`.
        uid: user and group to become, if this process is root.
        tasks: tasks that the runs' user may have already (outside the namespaces).
        imports: further packages to import ahead.
        packages: their directories, which runs may read.
        site: the directory these lie in.
    """

    level: str
    uid: int
    tasks: int
    imports: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    site: str = ""


def main(control: socket.socket, order: Order) -> None:
    """Get ready, then make slots until the executor goes."""
    try:
        _import(order)
        proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
        alone = order.level == "namespaces"
        base = _address_space()
        if alone:
            _enter_root(order, proc)
        ruleset = _ruleset(order)
        keep = _give_up_root(order)
        policy = lockdown.Policy(
            ruleset=ruleset,
            filter=_filter(order),
            tasks=lockdown.THREADS + 2 + (0 if alone else order.tasks),
            base_bytes=base,
        )
        program.standard_streams()
        linux.drop_capabilities()  # slot servers have their own, in their own user namespaces
        linux.no_new_privileges()
        warm.up(policy.filter)
        gc.collect()
        gc.freeze()  # the collector leaves what is shared alone, so that it stays shared
    except OSError as error:
        wire.send(control, {"failed": str(error)})
        return
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    wire.send(control, {"ready": True})
    while _make_slot(control, proc, policy, alone=alone, keep=keep):
        pass


def _make_slot(
    control: socket.socket, proc: int, policy: lockdown.Policy, *, alone: bool, keep: list[int]
) -> bool:
    """Answer one request for a slot. False: the executor has gone."""
    message, descriptors = wire.receive(control)
    if message is None:
        return False
    slot = socket.socket(fileno=descriptors[0])
    owner = os.geteuid(), os.getegid()
    try:
        pid = linux.clone(_ALONE if alone else 0)
    except OSError as error:
        wire.send(control, {"failed": str(error)})
    else:
        if pid == 0:
            _become_slot(control, slot, policy, keep, (proc, owner) if alone else None)
        wire.send(control, {"pid": pid})
    slot.close()
    return True


def _import(order: Order) -> None:
    for name in USUAL:
        importlib.import_module(name)
    if order.site:
        sys.path.append(order.site)
    for name in order.imports:
        importlib.import_module(name)
    os.environ.clear()


def _address_space() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _enter_root(order: Order, proc: int) -> None:
    if os.getuid() == 0:
        linux.unshare(linux.CLONE_NEWNS)
    else:
        owner = os.geteuid(), os.getegid()
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUSER)
        slot_server.identity(proc, owner)
    root.enter([*root.readable(), *order.packages])


def _give_up_root(order: Order) -> list[int]:
    """Become an ordinary user, if we are none; returns descriptors every run must keep."""
    keep: list[int] = []
    if os.getuid() == 0:
        keep = _open_libraries() if order.level != "namespaces" else []
        os.setgroups([])
        os.setresgid(order.uid, order.uid, order.uid)
        os.setresuid(order.uid, order.uid, order.uid)
    # Slot servers write their own user maps, and runs read /proc/self/fd if they must `keep` descriptors:
    # only the owner of /proc/self may. Nobody else should look into these processes.
    linux.set_dumpable(order.level == "namespaces" or bool(keep))
    linux.die_with_parent()  # last: a change of user undoes it
    return keep


def _open_libraries() -> list[int]:
    """Keep Python's library in reach of a user who may not walk to it (a Python under /root).

    Each directory of the module path is opened now and named /proc/self/fd/N from here on.
    """
    reached: dict[str, str] = {}
    keep: list[int] = []
    for path in sys.path:
        if Path(path).is_dir():
            fd = os.open(path, os.O_PATH)
            keep.append(fd)
            reached[path] = f"/proc/self/fd/{fd}"
    for old, new in sorted(reached.items(), key=lambda item: -len(item[0])):
        sys.path[:] = [new if path == old else path for path in sys.path]
        for module in list(sys.modules.values()):
            inside = getattr(module, "__path__", None)
            if isinstance(inside, list):
                inside[:] = [new + p[len(old) :] if p.startswith(f"{old}/") else p for p in inside]
    sys.path_importer_cache.clear()
    return keep


def _ruleset(order: Order) -> int | None:
    if order.level == "gvisor" or not landlock.abi():
        return None
    if order.level == "namespaces":  # the mounts are read-only; this takes devices, links and sockets away
        return landlock.create_ruleset({"/": landlock.READ | landlock.WRITE})
    readable = [*root.readable(), *root.DEVICES, *order.packages]
    rules: dict[str | int, int] = {path: landlock.READ for path in readable if Path(path).exists()}
    rules[os.devnull] = landlock.READ | landlock.WRITE
    return landlock.create_ruleset(rules)


def _filter(order: Order) -> seccomp.Filter:
    # Landlock learnt to refuse truncation with its third version.
    refuse = order.level == "pod" and landlock.abi() < 3
    read_only = order.level == "gvisor"
    return seccomp.Filter.build(platform.machine(), refuse_truncation=refuse, read_only=read_only)


def _become_slot(
    control: socket.socket,
    slot: socket.socket,
    policy: lockdown.Policy,
    keep: list[int],
    alone: tuple[int, tuple[int, int]] | None,
) -> None:
    """Never returns. `alone`: /proc and the owner outside, for a slot in its own namespaces."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        if alone is not None:
            slot_server.become_alone(*alone)
        else:
            linux.die_with_parent()
        slot_server.serve(slot, policy, alone=alone is not None, keep=keep)
        status = 0
    except OSError as error:
        wire.send(slot, {"failed": str(error)})
    finally:
        os._exit(status)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass
