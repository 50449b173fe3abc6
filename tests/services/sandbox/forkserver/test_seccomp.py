"""The filter, run by a small BPF machine, and in real processes."""

import ctypes
import errno
import functools
import os
import platform
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.forkserver import linux, seccomp
from tests.support import bpf

MACHINES = sorted(seccomp.MACHINES)
PID = 4711
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": (
        "/usr/aarch64-linux-gnu/include/asm/unistd_64.h",
        "/usr/aarch64-linux-gnu/include/asm-generic/unistd.h",
        "/usr/include/asm-generic/unistd.h",
    ),
}


@functools.cache
def program(machine: str, refuse: bool = False) -> tuple[tuple[int, int, int, int], ...]:
    text = seccomp.Filter.build(machine, refuse_truncation=refuse).for_process(PID)
    return tuple(struct.iter_unpack("HBBI", text))


def action(machine: str, number: int, *args: int, arch: int | None = None, refuse: bool = False) -> int:
    """What the filter answers to a call."""
    return interpret(program(machine, refuse), machine, number, *args, arch=arch)


def interpret(
    lines: tuple[tuple[int, int, int, int], ...],
    machine: str,
    number: int,
    *args: int,
    arch: int | None = None,
) -> int:
    """The same for any filter."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    return bpf.answer(lines, seccomp.MACHINES[machine][1] if arch is None else arch, number, padded)


def number(machine: str, name: str) -> int:
    column = seccomp.MACHINES[machine][0]
    for table in (seccomp.ALLOWED, seccomp.JUDGED, seccomp.UNKNOWN):
        found = table[name][column] if name in table else None
        if found is not None:
            return found
    raise KeyError(name)


@pytest.mark.parametrize("machine", MACHINES)
@given(
    nr=st.integers(0, 2**31 - 1) | st.integers(0, 500), args=st.lists(st.integers(0, 2**64 - 1), max_size=6)
)
def test_every_call_gets_what_the_table_says(machine: str, nr: int, args: list[int]) -> None:
    column = seccomp.MACHINES[machine][0]
    if nr in {pair[column] for pair in seccomp.JUDGED.values()}:
        assert action(machine, nr, *args) in (seccomp.ALLOW, seccomp.EPERM)
    elif nr in {pair[column] for pair in seccomp.ALLOWED.values()}:
        assert action(machine, nr, *args) == seccomp.ALLOW
    elif nr in {pair[column] for pair in seccomp.UNKNOWN.values()}:
        assert action(machine, nr, *args) == seccomp.ENOSYS
    elif machine == "x86_64" and nr >= seccomp.X32_BIT:
        assert action(machine, nr, *args) == seccomp.KILL_PROCESS
    else:
        expected = seccomp.EPERM if nr <= seccomp.NEWEST else seccomp.ENOSYS
        assert action(machine, nr, *args) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_foreign_architecture_is_deadly(machine: str) -> None:
    assert action(machine, 0, arch=0x40000003) == seccomp.KILL_PROCESS
    assert action(machine, number(machine, "read"), arch=0x40000003) == seccomp.KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "args", "allowed"),
    [
        ("clone", (0x3D0F00,), True),  # what pthread_create asks for
        ("clone", (17,), False),  # fork
        ("clone", (0x3D0F00 | 0x10000000,), False),  # a thread in a new user namespace
        ("clone", (0x10000 | 0x20000,), False),
        ("kill", (PID, 15), True),
        ("kill", (PID, 0), True),
        ("kill", (PID, 9), False),
        ("kill", (PID, 19), False),
        ("kill", (PID + 1, 15), False),
        ("kill", (0, 15), False),
        ("kill", (2**32 - 1, 15), False),  # everyone
        ("kill", (2**32 - PID, 15), False),  # the group
        ("tgkill", (PID, 99, 6), True),
        ("tgkill", (PID + 1, PID + 1, 6), False),
        ("tgkill", (PID, 99, 9), False),
        ("prlimit64", (0, 7, 0, 1), True),
        ("prlimit64", (PID, 7, 0, 1), True),
        ("prlimit64", (1, 7, 0, 1), False),
        ("prlimit64", (0, 7, 0xDEAD, 0), False),
        ("prlimit64", (0, 7, 0xDEAD << 32, 0), False),
        ("prctl", (15,), True),
        ("prctl", (16,), True),
        ("prctl", (1,), False),
        ("prctl", (22,), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5413), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI: typing into a terminal
    ],
)
def test_calls_judged_by_their_arguments(
    machine: str, name: str, args: tuple[int, ...], allowed: bool
) -> None:
    expected = seccomp.ALLOW if allowed else seccomp.EPERM
    assert action(machine, number(machine, name), *args) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("flags", "allowed"), [(0, True), (1, True), (0o100, False), (0o1000, False)])
def test_truncation_is_refused_where_landlock_cannot(machine: str, flags: int, allowed: bool) -> None:
    call = action(machine, number(machine, "openat"), 0, 0, flags, refuse=True)
    assert call == (seccomp.ALLOW if allowed else seccomp.EPERM)
    assert action(machine, number(machine, "openat"), 0, 0, flags) == seccomp.ALLOW
    if machine == "x86_64":
        assert (action(machine, 2, 0, flags, refuse=True) == seccomp.ALLOW) is allowed


@pytest.mark.parametrize("machine", MACHINES)
def test_read_only_refuses_to_open_for_writing_and_to_change_directories(machine: str) -> None:
    text = seccomp.Filter.build(machine, read_only=True).for_process(PID)
    lines = tuple(struct.iter_unpack("HBBI", text))
    column = seccomp.MACHINES[machine][0]
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        assert interpret(lines, machine, number(machine, "openat"), 0, 0, flags) == seccomp.EPERM
    assert interpret(lines, machine, number(machine, "openat"), 0, 0, os.O_CLOEXEC) == seccomp.ALLOW
    for name in seccomp.CHANGING:
        if (nr := seccomp.ALLOWED[name][column]) is not None:
            assert interpret(lines, machine, nr) == seccomp.EPERM
    assert interpret(lines, machine, number(machine, "write")) == seccomp.ALLOW


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.Filter.build("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    path = next((Path(p) for p in HEADERS[machine] if Path(p).exists()), None)
    if path is None:
        pytest.skip(f"no kernel headers for {machine} here (linux-libc-dev)")
    defined: dict[str, int] = {}
    for name, text in re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\w+)", path.read_text()):
        if text.isdigit():
            defined.setdefault(name, int(text))
    defined.update({new: defined[old] for new, old in {"newfstatat": "fstatat"}.items() if old in defined})
    column = seccomp.MACHINES[machine][0]
    for name, pair in {**seccomp.ALLOWED, **seccomp.JUDGED, **seccomp.UNKNOWN}.items():
        if pair[column] is None:
            assert name not in defined, name
        else:
            assert defined[name] == pair[column], name


# ---------------------------------------------------------------- in real processes


def in_child(call: int, *args: int) -> int:
    """The errno of a system call under the filter, 0 if it worked; 128 + signal if it was deadly."""
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        linux.no_new_privileges()
        seccomp.install(seccomp.Filter.build(platform.machine()).for_process(os.getpid()))
        result = libc.syscall(ctypes.c_long(call), *map(ctypes.c_long, args))
        os._exit(0 if result >= 0 else ctypes.get_errno())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


@pytest.mark.integration
def test_installed_it_does_what_it_says() -> None:
    machine = platform.machine()
    assert in_child(number(machine, "getpid")) == 0
    assert in_child(number(machine, "clone3"), 0, 0) == errno.ENOSYS
    assert in_child(number(machine, "clone"), 17) == errno.EPERM
    assert in_child(number(machine, "kill"), os.getpid(), 0) == errno.EPERM
    assert in_child({"x86_64": 41, "aarch64": 198}[machine], 1, 1, 0) == errno.EPERM
    assert in_child({"x86_64": 59, "aarch64": 221}[machine], 0, 0, 0) == errno.EPERM
    if machine == "x86_64":
        assert in_child(seccomp.X32_BIT + 39) == 128 + 31


@pytest.mark.integration
def test_without_no_new_privs_it_is_not_installed() -> None:
    pid = os.fork()
    if pid == 0:
        os.setresuid(65_533, 65_533, 65_533) if os.getuid() == 0 else None
        try:
            seccomp.install(seccomp.Filter.build(platform.machine()).for_process(os.getpid()))
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EACCES
