"""Run a command as in a pod under Kubernetes' RuntimeDefault seccomp profile: namespaces are closed.

    python -m tests.support.closed_namespaces [--open CALL,...] COMMAND [ARGUMENT...]

It and all its children get EPERM from unshare, setns, the mount calls and clone with CLONE_NEW*, and ENOSYS
from clone3, as containerd's profile does for processes without CAP_SYS_ADMIN. Nothing else of that profile
is here. `--open` leaves calls open, as a Localhost profile made for the sandbox would.
Numbers: asm/unistd_64.h and asm-generic/unistd.h; BPF: linux/filter.h; seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Collection, Sequence

_COLUMN = {"x86_64": 0, "aarch64": 1}
CLOSED = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
}
_CLONE, _CLONE3 = (56, 220), 435
_CLONE_NEW_ANY = 0x7E020000
_LOAD, _JEQ, _JSET, _RET = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def program(machine: str, opened: Collection[str] = ()) -> bytes:
    """The filter, as classic BPF. Foreign architectures are let through: it is a stage set, no protection."""
    column = _COLUMN[machine]
    refuse = (_RET, 0, 0, _ERROR | errno.EPERM)
    lines = [(_LOAD, 0, 0, 0)]
    for numbers in (CLOSED[name] for name in CLOSED if name not in opened):
        lines += [(_JEQ, 0, 1, numbers[column]), refuse]
    lines += [(_JEQ, 0, 1, _CLONE3), (_RET, 0, 0, _ERROR | errno.ENOSYS)]
    if "clone" not in opened:
        lines += [(_JEQ, 0, 3, _CLONE[column]), (_LOAD, 0, 0, 16), (_JSET, 0, 1, _CLONE_NEW_ANY), refuse]
    lines += [(_RET, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def close(opened: Collection[str] = ()) -> None:
    """Put the filter on this process, for good.

    Raises:
        OSError: the kernel refuses it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    lines = ctypes.create_string_buffer(program(platform.machine(), opened))
    length = (len(lines) - 1) // 8
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", length, ctypes.addressof(lines)))
    zero = ctypes.c_ulong(0)
    for option, first, second in (
        (_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero),
        (_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), fprog),
    ):
        if libc.prctl(option, first, second, zero, zero) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def main(argv: Sequence[str]) -> None:
    """Close namespaces and become the command."""
    opened: Sequence[str] = ()
    if argv[0] == "--open":
        opened, argv = argv[1].split(","), argv[2:]
    close(opened)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(sys.argv[1:])
