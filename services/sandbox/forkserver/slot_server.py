"""One slot: a process that forks one run at a time, waits for it, and cleans up after it.

At the `namespaces` level it is the first process of a pid namespace of its own, inside its own user, mount,
net, ipc and uts namespaces: whatever a run leaves behind dies with the sweep after it, and everything dies
with the slot server. It never reads what a program wrote, and no run's data is ever in its memory.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterable

from services.sandbox.forkserver import child, linux, lockdown, root, wire

BOX_BYTES = 16 << 20
# Written out: after a fork, each page that is touched here costs a fault.
_STARTED = b'{"pid": %d}'
_ENDED = b'{"status": %d, "cpu_s": %.6f, "memory_kb": %d, "stragglers": %d}'


def serve(sock: socket.socket, policy: lockdown.Policy, *, alone: bool, keep: Iterable[int] = ()) -> None:
    """Serve runs until the executor closes the socket.

    Args:
        sock: to the executor.
        policy: what every run gives up.
        alone: this is the first process of its own namespaces.
        keep: descriptors every run keeps.
    """
    server = os.getpid()
    box = root.Box(BOX_BYTES) if alone else None
    if box is None:
        os.chdir("/")
    wire.send(sock, {"ready": True})
    while True:
        message, descriptors = wire.receive(sock)
        if message is None:
            return
        job = child.Job(**message)  # type: ignore[arg-type]
        try:
            pid = linux.fork()
        except OSError as error:  # EAGAIN, ENOMEM: the machine's trouble
            _close(descriptors)
            wire.send(sock, {"failed": str(error)})
            continue
        if pid == 0:
            _run(job, descriptors, policy, server=None if alone else server, keep=keep)
        _close(descriptors)
        _tell_started(sock, pid)
        _, status, usage = os.wait4(pid, 0)
        used = usage.ru_utime + usage.ru_stime
        sock.send(_ENDED % (status, used, usage.ru_maxrss, _sweep() if alone else 0))
        if box is not None:
            box.renew()


def _run(
    job: child.Job,
    descriptors: list[int],
    policy: lockdown.Policy,
    *,
    server: int | None,
    keep: Iterable[int],
) -> None:
    try:
        if server is not None:
            child.die_with_server(server)
        child.run(job, descriptors, keep, policy)
    finally:
        os._exit(1)  # whatever happened: never back into the server's loop


def _tell_started(sock: socket.socket, pid: int) -> None:
    """Give the executor a handle on the run: a pidfd, or its bare pid where there are none (gVisor)."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        sock.send(_STARTED % pid)
        return
    sock.sendmsg([_STARTED % pid], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pidfd.to_bytes(4, sys.byteorder))])
    os.close(pidfd)


def _sweep() -> int:
    """Kill whatever else lives in this pid namespace; how many there were."""
    try:
        os.kill(-1, signal.SIGKILL)  # as the namespace's first process: everyone in it but ourselves
    except ProcessLookupError:
        return 0
    found = 0
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return found
        found += 1


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def become_alone(proc: int, owner: tuple[int, int]) -> None:
    """Settle into namespaces just made by `linux.clone`: identity maps, no way to regain anything.

    Args:
        proc: descriptor of /proc as it was before the root was changed; closed here.
        owner: user and group this process had outside.
    """
    identity(proc, owner)
    os.close(proc)
    linux.die_with_parent()
    linux.set_dumpable(False)
    linux.empty_bounding_set()
    socket.sethostname("atlas")


def identity(proc: int, owner: tuple[int, int]) -> None:
    """Map a user and a group to themselves in this process's new user namespace."""
    uid, gid = owner
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        fd = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
