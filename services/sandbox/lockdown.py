"""What a process gives up before it runs a program: rlimits, capabilities, the file system, system calls.

Runs inside the child (`child.py`), standard library only, single-threaded, once. Linux on x86_64 or aarch64.

Covered: no sockets, no new processes or programs, no signals to anyone else, no raising of limits, no
persistent IPC; with Landlock (Linux 5.13) also no reading outside the Python library and no writing
outside the working directory. Not covered yet: namespaces, a quota on the number of files in the working
directory, kernel bugs reachable by the calls that remain.
"""

# pathlib would add its import time to every run.
# ruff: noqa: PTH100, PTH109, PTH112, PTH120, PTH123

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
import sys

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_X32_BIT = 0x40000000

# Refused with EPERM whatever the arguments: (x86_64, aarch64) numbers, None where there is no such call.
# Sources: asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # network
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # processes and programs (clone is judged by its flags below)
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130),
    "setpriority": (141, 140),
    # undoing this very lockdown
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "setrlimit": (160, 164),
    "personality": (135, 92),
    # kernel surface no program to be judged needs
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "modify_ldt": (154, None),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # what would outlive the process, or escape RLIMIT_AS
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # a working directory that cannot be removed in one pass
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "link": (86, None),
    "linkat": (265, 37),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
}
_KILL, _TGKILL, _CLONE, _CLONE3, _PRLIMIT64 = (62, 129), (234, 131), (56, 220), (435, 435), (302, 261)
_CLONE_THREAD = 0x10000
_SIGKILL = 9

# Classic BPF (linux/filter.h): load word, jump if equal / ≥ / any bit, return.
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 1, 22, 38, 2
_CAPABILITY_VERSION_3 = 0x20080522
_M_ARENA_MAX = -8

# The main thread's stack may grow to this. The kernel leaves a gap of at least 128 MiB below the stack,
# so raising the limit after exec is enough; 50,000 nested Python calls through C fit.
_STACK_BYTES = 112 << 20
_OPEN_FILES = 64
# Counts every task of the same user, so it must leave room for theirs; forking is refused by seccomp anyway.
_TASKS = 4096

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """SIGKILL this process when its parent dies; exits at once if `parent` is already gone."""
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def lock_down(*, cpu_s: int, memory_bytes: int, file_bytes: int) -> str:
    """Give everything up, irrevocably; returns the name of the isolation level reached.

    Args:
        cpu_s: RLIMIT_CPU in whole seconds (a backstop: the parent measures finer).
        memory_bytes: address space the program may use beyond what the interpreter has now.
        file_bytes: largest file it may write.

    Raises:
        OSError: a step was refused: the program must not be run.
    """
    _libc.mallopt(_M_ARENA_MAX, 1)  # else each thread reserves 64 MiB of address space
    _drop_capabilities()
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _set_rlimits(cpu_s, memory_bytes, file_bytes)  # before Landlock, which hides /proc
    landlocked = _landlock()
    _install_filter(_filter(platform.machine(), os.getpid()))
    return "subprocess+seccomp+landlock" if landlocked else "subprocess+seccomp"


def _set_rlimits(cpu_s: int, memory_bytes: int, file_bytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = _STACK_BYTES if hard == resource.RLIM_INFINITY else min(_STACK_BYTES, hard)
    wanted = {
        resource.RLIMIT_STACK: stack,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: _TASKS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: used + memory_bytes,
    }
    for kind, most in wanted.items():
        limit = resource.getrlimit(kind)[1]
        value = most if limit == resource.RLIM_INFINITY else min(most, limit)
        resource.setrlimit(kind, (value, value))
        if resource.getrlimit(kind) != (value, value):
            raise OSError(errno.EINVAL, f"rlimit {kind} did not take")


def _drop_capabilities() -> None:
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _call("capset", header, bytes(24))


# ---------------------------------------------------------------- file system


def _landlock() -> bool:
    """Leave only the Python library to read and the working directory to write. False: no Landlock here."""
    create, add, restrict = 444, 445, 446  # the same numbers on every architecture
    abi = _libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return False
    # linux/landlock.h: bits 0-12 since ABI 1, then REFER (2), TRUNCATE (3), IOCTL_DEV (5).
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    write_file, read_file, read_dir, remove_file, make_file, truncate = 2, 4, 8, 1 << 5, 1 << 8, 1 << 14
    look = read_file | read_dir
    rules = dict.fromkeys(_readable(), look)
    rules[os.getcwd()] = look | write_file | remove_file | make_file | truncate
    rules["/dev/null"] = read_file | write_file | truncate
    ruleset = _syscall(create, struct.pack("Q", handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    for path, allowed in rules.items():
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rights = allowed & handled & (-1 if os.path.isdir(path) else ~read_dir)
            _syscall(add, ruleset, 1, struct.pack("=Qi", rights, fd), ctypes.c_uint32(0))
            os.close(fd)
    _syscall(restrict, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)
    return True


def _readable() -> list[str]:
    library = os.path.dirname(os.path.abspath(os.__file__))
    system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"]
    files = ["/etc/ld.so.cache", "/etc/localtime", "/dev/zero", "/dev/random", "/dev/urandom"]
    return [*sys.path, library, os.path.dirname(library), *system, *files]


# ---------------------------------------------------------------- system calls


def _filter(machine: str, pid: int) -> list[tuple[int, int, int, int]]:
    """The BPF program as (code, jump if true, jump if false, constant)."""
    if machine not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}: x86_64 and aarch64 are supported")
    column = _COLUMN[machine]
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
    ]
    if machine == "x86_64":
        program += [(_JGE, 0, 1, _X32_BIT), (_RET, 0, 0, _KILL_PROCESS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            program += [(_JEQ, 0, 1, number), (_RET, 0, 0, _EPERM)]
    # glibc falls back from clone3 (whose flags are out of a filter's sight) to clone on ENOSYS.
    program += [(_JEQ, 0, 1, _CLONE3[column]), (_RET, 0, 0, _ENOSYS)]
    program += _only_if(_CLONE[column], [(_LOAD, 0, 0, _ARGS), (_JSET, 1, 0, _CLONE_THREAD)])
    for call, signal_argument in ((_KILL, 1), (_TGKILL, 2)):
        # Only itself, and not SIGKILL: so a SIGKILL the executor did not send came from outside.
        to_self = [(_LOAD, 0, 0, _ARGS), (_JEQ, 0, 2, pid), (_LOAD, 0, 0, _ARGS + 8 * signal_argument)]
        program += _only_if(call[column], [*to_self, (_JEQ, 0, 1, _SIGKILL)])
    # prlimit64 may read limits (new_limit is NULL), not set them.
    new_limit = _ARGS + 16
    null = [(_LOAD, 0, 0, new_limit), (_JEQ, 0, 2, 0), (_LOAD, 0, 0, new_limit + 4), (_JEQ, 1, 0, 0)]
    program += _only_if(_PRLIMIT64[column], null)
    return [*program, (_RET, 0, 0, _ALLOW)]


def _only_if(number: int, test: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """For one call: `test`, then EPERM if it fell through, ALLOW if it jumped over."""
    tail = [(_RET, 0, 0, _EPERM), (_RET, 0, 0, _ALLOW)]
    return [(_JEQ, 0, len(test) + len(tail), number), *test, *tail]


def _install_filter(program: list[tuple[int, int, int, int]]) -> None:
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(packed)))
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, fprog, 0, 0)


def _call(name: str, *arguments: object) -> None:
    wide = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc, name)(*wide) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _syscall(*arguments: object) -> int:
    result: int = _libc.syscall(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {arguments[0]}: {os.strerror(code)}")
    return result
