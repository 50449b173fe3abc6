"""The system calls Python has no function for, each raising OSError with its name. Linux only.

Numbers from asm/unistd_64.h and asm-generic/unistd.h; flags from the manual pages.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MS_NOATIME = 0x400
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

_CLONE = {"x86_64": 56, "aarch64": 220}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442  # the same everywhere, Linux 5.12
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = (
    1,
    4,
    24,
    38,
    39,
)
_CAPABILITY_VERSION_3, _CAPABILITIES = 0x20080522, 64
_M_ARENA_MAX = -8

_libc = ctypes.CDLL(None, use_errno=True)
# What every run needs is looked up and laid out here, before the fork.
_prctl_, _capset, _capget = _libc.prctl, _libc.capset, _libc.capget
_HEADER = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0))
_NO_CAPABILITIES, _left = ctypes.create_string_buffer(24), ctypes.create_string_buffer(24)
_ZERO, _ONE = ctypes.c_ulong(0), ctypes.c_ulong(1)
_SET_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS = ctypes.c_int(_PR_SET_NO_NEW_PRIVS), ctypes.c_int(_PR_GET_NO_NEW_PRIVS)
# PyDLL keeps the interpreter's lock: the child of a clone must find it held, as after os.fork.
_held = ctypes.PyDLL(None, use_errno=True)


def clone(flags: int) -> int:
    """`os.fork` into new namespaces: 0 in the child, its pid in the parent.

    Raises:
        OSError: the kernel refuses (EPERM, ENOSPC: no namespaces left, EAGAIN).
    """
    number = ctypes.c_long(_CLONE[platform.machine()])
    nothing = ctypes.c_void_p(None)
    ctypes.pythonapi.PyOS_BeforeFork()
    # The arguments after the stack are pointers, all NULL: their order, which differs, does not matter.
    pid: int = _held.syscall(number, ctypes.c_ulong(flags | signal.SIGCHLD), *[nothing] * 4)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone: {os.strerror(code)}")
    return pid


def fork() -> int:
    """`os.fork` for a process with one thread, without the interpreter's hooks: nothing needs mending.

    The hooks touch a hundred pages, each of which is copied: a tenth of what a short run costs. Whoever
    forks so must give the `random` module a new seed.
    """
    pid: int = _held.fork()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"fork: {os.strerror(code)}")
    return pid


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or bind one path to another."""
    texts = [text.encode() for text in (source, target, kind, data)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def umount(target: str) -> None:
    """Take a mount out of sight now and away once nobody uses it."""
    _call("umount2", target.encode(), ctypes.c_int(MNT_DETACH))


def set_mount_attributes(target: str, attributes: int, *, recursive: bool = True) -> None:
    """Add MOUNT_ATTR_* to a mount and those below it (mount_setattr(2))."""
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", attributes, 0, 0, 0))
    flags = ctypes.c_uint(_AT_RECURSIVE if recursive else 0)
    name = ctypes.c_char_p(target.encode())
    _syscall(
        "mount_setattr", _MOUNT_SETATTR, ctypes.c_int(_AT_FDCWD), name, flags, wanted, ctypes.c_size_t(32)
    )


def pivot_root(new: str) -> None:
    """Make `new`, a mount, the root of this mount namespace, and let go of the old one."""
    os.chdir(new)
    here = ctypes.c_char_p(b".")
    _syscall("pivot_root", _PIVOT_ROOT[platform.machine()], here, here)
    umount(".")  # the old root lies on top of the new one (pivot_root(2), last example)
    os.chdir("/")


def die_with_parent() -> None:
    """SIGKILL this process when its parent dies. A change of credentials undoes it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_dumpable(dumpable: bool) -> None:
    """Whether /proc/self belongs to this process's user, and others of that user may look into it."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def no_new_privileges() -> None:
    """No program can raise this process's privileges any more; read back."""
    _prctl_(_SET_NO_NEW_PRIVS, _ONE, _ZERO, _ZERO, _ZERO)
    if _prctl_(_GET_NO_NEW_PRIVS, _ZERO, _ZERO, _ZERO, _ZERO) != 1:
        raise OSError(0, "no_new_privs did not take")


def empty_bounding_set() -> None:
    """No capability can ever be gained again; those held stay held. Needs CAP_SETPCAP."""
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, *[ctypes.c_ulong(n) for n in (capability, 0, 0, 0)]) != 0:
            break  # EINVAL: past the last one this kernel has


def drop_capabilities() -> None:
    """Give up every capability; read back."""
    if _capset(_HEADER, _NO_CAPABILITIES) != 0 or _capget(_HEADER, _left) != 0:
        _fail("capset")
    if any(_left.raw):
        raise OSError(0, "capabilities could not be dropped")


def one_arena() -> None:
    """glibc: do not reserve 64 MiB of address space for each thread. Elsewhere nothing."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, 1)


def _prctl(option: int, value: int) -> None:
    _call("prctl", ctypes.c_int(option), *[ctypes.c_ulong(n) for n in (value, 0, 0, 0)])


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        _fail(name)


def _syscall(name: str, number: int, *arguments: object) -> None:
    if _libc.syscall(ctypes.c_long(number), *arguments) < 0:
        _fail(name)


def _fail(name: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, f"{name}: {os.strerror(code)}")
