"""The system calls a program may make: an allow-list by architecture, as a classic BPF filter.

Allowed is what CPython, glibc or musl, threads and numpy need to read, compute and print. Everything else
is EPERM; calls newer than the table, and those libc has an older way for, are ENOSYS so that it takes
that way. A call of a foreign architecture kills.

Not covered: what the allowed calls do with files (Landlock and the mounts see to that), anything behind a
pointer (a filter sees numbers only), which of its own threads a program signals, how much it uses (rlimits),
and bugs of the kernel that can be reached through the allowed calls. musl's `raise` is refused with tkill,
whose thread may be anyone's; asyncio's event loop with socketpair; file locks with fcntl's.

Numbers: asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1; BPF: linux/filter.h; seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

# name: (x86_64, aarch64), None where there is no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # files and descriptors (which files: Landlock, mounts)
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "open": (2, None),
    "openat": (257, 56),
    "close": (3, 57),
    "close_range": (436, 436),
    "lseek": (8, 62),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "umask": (95, 166),
    # names and directories
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "getdents": (78, None),
    "getdents64": (217, 61),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    # waiting
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create": (213, None),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "pause": (34, None),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "wait4": (61, 260),
    "waitid": (247, 95),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    # threads
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168),
    # time
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    # who and where am I
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getgroups": (115, 158),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getpriority": (140, 141),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    # signals, and the end
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Allowed by their arguments only.
JUDGED: dict[str, tuple[int, int]] = {
    "clone": (56, 220),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "prctl": (157, 167),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
}
# glibc has an older way: clone3's flags, for one, are out of a filter's sight.
UNKNOWN: dict[str, tuple[int, int]] = {"clone3": (435, 435), "openat2": (437, 437)}
NEWEST = 450  # set_mempolicy_home_node, Linux 5.17: the newest call of the table this was written from

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32_BIT = 0x40000000
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data
_CLONE_THREAD = 0x10000
_CLONE_NEW_ANY = 0x7E020000 | 0x80  # CLONE_NEW*, the time namespace's bit included
_SIGKILL, _SIGSTOP = 9, 19
_PR_SET_NAME, _PR_GET_NAME = 15, 16
# TCGETS, FIONREAD, FIOCLEX, FIONCLEX, FIONBIO, TIOCGWINSZ: asked of every stream that might be a terminal.
_IOCTLS = (0x5401, 0x541B, 0x5451, 0x5450, 0x5421, 0x5413)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Not among them: F_SETOWN with F_SETSIG, which
# makes the kernel send any signal to any process of the same user, and locks and leases, by which runs that
# read the same file could talk or make others wait.
_FCNTLS = (0, 1, 2, 3, 4, 1030)
_O_CREAT_TRUNC = os.O_CREAT | os.O_TRUNC
_O_WRITING = os.O_WRONLY | os.O_RDWR | _O_CREAT_TRUNC
# With `read_only` refused altogether.
CHANGING = ("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "ftruncate")
_PID = 0xFFFFFFFE  # stands for the process's own pid until `for_process`
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Line = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
_Range = tuple[int, list[_Line]]  # its first number, what to do with all of them

# Where the flags of a call that opens a file are.
_OPENS = {
    "open": _ARGS + 8,
    "openat": _ARGS + 16,
}


@dataclass(frozen=True)
class Filter:
    """A filter that wants only the pid of the process it is for."""

    _program: bytes
    _holes: tuple[int, ...]

    @classmethod
    def build(cls, machine: str, *, refuse_truncation: bool = False, read_only: bool = False) -> Filter:
        """The filter for a machine.

        Args:
            machine: as `platform.machine()` names it.
            refuse_truncation: refuse to open a file to create or empty it, where Landlock is too old to.
            read_only: refuse to open a file for writing, and to change directories, where there is none.

        Raises:
            OSError: ENOSYS, there is no table for it.
        """
        lines = _lines(machine, _O_WRITING if read_only else _O_CREAT_TRUNC * refuse_truncation)
        holes = tuple(8 * n + 4 for n, line in enumerate(lines) if line[3] == _PID)
        return cls(b"".join(struct.pack("HBBI", *line) for line in lines), holes)

    def for_process(self, pid: int) -> bytes:
        """The BPF program for the process `pid`."""
        program = bytearray(self._program)
        for hole in self._holes:
            struct.pack_into("I", program, hole, pid)
        return bytes(program)


_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """struct sock_fprog. A class made once: array types made in every run would cost more than the filter."""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def install(program: bytes) -> None:
    """Put a filter on this process, for good. Needs no_new_privs.

    Raises:
        OSError: the kernel refuses it.
    """
    fprog = ctypes.byref(_Program(len(program) // 8, program))
    zero = ctypes.c_ulong(0)
    if _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), fprog, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _lines(machine: str, refused_flags: int) -> list[_Line]:
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}: x86_64 and aarch64 are supported")
    column, arch = MACHINES[machine]
    answers: dict[int, list[_Line]] = {}  # by number; those without one are refused
    for name, pair in ALLOWED.items():
        number = pair[column]
        if number is None or (name in CHANGING and refused_flags == _O_WRITING):
            continue
        if name in _OPENS and refused_flags:
            answers[number] = _judge([(_LOAD, 0, 0, _OPENS[name]), (_JSET, 0, 1, refused_flags)])
        else:
            answers[number] = [(_RET, 0, 0, ALLOW)]
    answers.update({JUDGED[name][column]: _judge(test) for name, test in _tests().items()})
    answers.update({pair[column]: [(_RET, 0, 0, ENOSYS)] for pair in UNKNOWN.values()})
    ranges = _ranges(answers)
    if machine == "x86_64":
        ranges.append((X32_BIT, [(_RET, 0, 0, KILL_PROCESS)]))
    return [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, arch),
        (_RET, 0, 0, KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
        *_search(ranges),
    ]


def _tests() -> dict[str, list[_Line]]:
    """For each judged call: lines that fall through to refuse it, and jump over the next one to allow it."""
    low, high = 0, 4
    to_self = [(_LOAD, 0, 0, _ARGS), (_JEQ, 0, 3, _PID)]
    gentle = [(_JEQ, 1, 0, _SIGKILL), (_JEQ, 0, 1, _SIGSTOP)]
    null = [
        (_LOAD, 0, 0, _ARGS + 16 + low),
        (_JEQ, 0, 5, 0),
        (_LOAD, 0, 0, _ARGS + 16 + high),
        (_JEQ, 0, 3, 0),
        (_LOAD, 0, 0, _ARGS),
        (_JEQ, 2, 0, 0),
        (_JEQ, 1, 0, _PID),
    ]
    return {
        "clone": [
            (_LOAD, 0, 0, _ARGS),
            (_JSET, 0, 1, _CLONE_THREAD),
            (_JSET, 0, 1, _CLONE_NEW_ANY),
        ],
        "kill": [*to_self, (_LOAD, 0, 0, _ARGS + 8), *gentle],
        "tgkill": [*to_self, (_LOAD, 0, 0, _ARGS + 16), *gentle],
        "prlimit64": null,
        "prctl": [(_LOAD, 0, 0, _ARGS), (_JEQ, 2, 0, _PR_SET_NAME), (_JEQ, 1, 0, _PR_GET_NAME)],
        "ioctl": _one_of(_IOCTLS),
        "fcntl": _one_of(_FCNTLS),
    }


def _one_of(commands: tuple[int, ...]) -> list[_Line]:
    """The second argument, of which the kernel reads 32 bits, is one of these."""
    jumps = [(_JEQ, len(commands) - n, 0, command) for n, command in enumerate(commands)]
    return [(_LOAD, 0, 0, _ARGS + 8), *jumps]


def _judge(test: list[_Line]) -> list[_Line]:
    """`test`, then EPERM if it fell through, ALLOW if it jumped over."""
    return [*test, (_RET, 0, 0, EPERM), (_RET, 0, 0, ALLOW)]


def _ranges(answers: dict[int, list[_Line]]) -> list[_Range]:
    """Every number's answer, as ranges that have the same one, ascending from 0."""
    refused, unknown = [(_RET, 0, 0, EPERM)], [(_RET, 0, 0, ENOSYS)]
    ranges: list[_Range] = []
    for number in range(NEWEST + 2):
        answer = answers.get(number, refused) if number <= NEWEST else unknown
        if not ranges or ranges[-1][1] != answer:
            ranges.append((number, answer))
    return ranges


def _search(ranges: list[_Range]) -> list[_Line]:
    """A binary search: the kernel tries every number on installing a filter, so it must be short."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    low, high = _search(ranges[:middle]), _search(ranges[middle:])
    if len(low) > 255:  # a conditional jump reaches no further
        raise ValueError("the table is too long for one jump")
    return [(_JGE, len(low), 0, ranges[middle][0]), *low, *high]
