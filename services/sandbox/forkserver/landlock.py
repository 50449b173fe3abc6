"""Landlock: a process gives up all files but some, and TCP, and signals to the outside. Versions 1 to 7.

Not covered by any version: looking a path up (`stat`, `readlink`, `chdir`), descriptors opened before, and
what the system-call filter refuses instead: changing modes, owners and times, locks, UDP and every protocol
but TCP, sockets that have a path. Truncation is refused from version 3 on, TCP from 4, ioctl on devices from
5, abstract sockets and signals to the outside from 6; from 7 on refusals are kept out of the audit log.

Source: linux/landlock.h and Documentation/userspace-api/landlock.rst of Linux 6.15.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Mapping

NEWEST = 7
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << n for n in range(6))
MAKE_DIR, MAKE_REG, REFER, TRUNCATE, IOCTL_DEV = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
READ = READ_FILE | READ_DIR
# Not among them: executing, sockets, pipes, devices, symbolic links.
WRITE = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_NET_BIND_CONNECT, _SCOPE_ABSTRACT_SOCKET_AND_SIGNAL = 3, 3
_LOG_NOTHING = 1 | 4  # RESTRICT_SELF_LOG_SAME_EXEC_OFF, RESTRICT_SELF_LOG_SUBDOMAINS_OFF
# The same numbers on every architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_CREATE_VERSION, _PATH_BENEATH = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The kernel's version of Landlock, at most NEWEST; 0 where there is none."""
    found: int = _libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_VERSION))
    return max(0, min(found, NEWEST))


def handled(version: int) -> int:
    """Every right to files that this version can take away."""
    return (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1


def create_ruleset(rules: Mapping[str | int, int]) -> int:
    """A ruleset's descriptor; any number of processes may restrict themselves with it.

    Args:
        rules: path, or descriptor of it, to the rights at and below it. Rights this kernel does not know are
            left out, and those of directories for files.

    Raises:
        OSError: there is no Landlock, or a path does not exist.
    """
    version = abi()
    known = handled(version)
    fields = [known]
    if version >= 4:
        fields.append(_NET_BIND_CONNECT)
    if version >= 6:
        fields.append(_SCOPE_ABSTRACT_SOCKET_AND_SIGNAL)
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for where, rights in rules.items():
            _add(ruleset, where, rights & known)
    except OSError:
        os.close(ruleset)
        raise
    os.set_inheritable(ruleset, False)
    return ruleset


def _add(ruleset: int, where: str | int, rights: int) -> None:
    with contextlib.ExitStack() as cleanup:
        fd = where
        if isinstance(fd, str):
            fd = os.open(fd, os.O_PATH | os.O_CLOEXEC)
            cleanup.callback(os.close, fd)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        if not rights:  # the kernel calls an empty rule an error; to us it allows nothing
            return
        _syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, fd), ctypes.c_uint32(0))


def restrict_self(ruleset: int) -> None:
    """Give up everything the ruleset does not allow, for good. Needs no_new_privs.

    Raises:
        OSError: the kernel refuses.
    """
    flags = _LOG_NOTHING if abi() >= 7 else 0
    _syscall(_RESTRICT, ruleset, ctypes.c_uint32(flags))


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result
