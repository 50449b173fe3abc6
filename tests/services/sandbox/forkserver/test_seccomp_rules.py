"""The filter's rules said a second time, plainly, and held against its BPF program for every kind of call."""

import os
import re
import signal
import struct
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.forkserver import seccomp
from services.sandbox.forkserver.seccomp import ALLOW, ALLOWED, ENOSYS, EPERM, JUDGED, KILL_PROCESS, UNKNOWN
from tests.support import bpf

COLUMNS = {"x86_64": 0, "aarch64": 1}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*, linux/audit.h
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    # aarch64 has no table of its own: it is the generic one.
    "aarch64": ("/usr/aarch64-linux-gnu/include/asm-generic/unistd.h", "/usr/include/asm-generic/unistd.h"),
}
PID = 4242
CLONE_THREAD = 0x10000
CLONE_NEW = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
# What glibc's pthread_create passes: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID CHILD_CLEARTID.
THREAD_FLAGS = 0x3D0F00
HARMLESS_IOCTLS = {0x5401, 0x541B, 0x5451, 0x5450, 0x5421, 0x5413}
HARMLESS_FCNTLS = {0, 1, 2, 3, 4, 1030}
machines = st.sampled_from(sorted(COLUMNS))


def header_of(machine: str) -> dict[str, int]:
    """Numbers by name, from the kernel's own header."""
    path = next((p for p in map(Path, HEADERS[machine]) if p.exists()), None)
    if path is None:
        pytest.skip(f"no system-call header for {machine} here: {' or '.join(HEADERS[machine])}")
    found = dict(re.findall(r"^#define (__NR(?:3264)?_\w+)\s+(\w+)", path.read_text(), re.MULTILINE))
    numbers = {}
    for name, value in found.items():
        if name.startswith("__NR_"):
            value = found.get(value, value)  # the generic table names what 32 and 64 bits spell differently
            if value.isdecimal():
                numbers[name.removeprefix("__NR_")] = int(value)
    return numbers


@pytest.mark.parametrize("machine", COLUMNS)
def test_no_number_is_in_the_table_twice(machine: str):
    pairs = [*ALLOWED.values(), *JUDGED.values(), *UNKNOWN.values()]
    numbers = [n for pair in pairs if (n := pair[COLUMNS[machine]]) is not None]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= seccomp.NEWEST


REFUSED = """
    execve execveat fork vfork socket socketpair connect bind memfd_create io_uring_setup
    io_uring_enter bpf userfaultfd keyctl add_key request_key ptrace process_vm_readv
    process_vm_writev pidfd_open pidfd_send_signal pidfd_getfd personality setuid setgid setresuid
    setresgid setgroups setrlimit setpriority sched_setaffinity sched_setscheduler shmget semget
    msgget mq_open timer_create mlock mlockall mbind chmod fchmod fchmodat chown fchown fchownat
    utimensat setxattr fsetxattr truncate symlink symlinkat link linkat mknod mknodat flock
    fallocate creat mount umount2 pivot_root chroot unshare setns tkill rt_sigqueueinfo
    rt_tgsigqueueinfo perf_event_open open_by_handle_at name_to_handle_at splice vmsplice tee
    seccomp init_module kexec_load reboot swapon syslog acct quotactl fanotify_init inotify_init1
    process_madvise kcmp ioprio_set capset setsid setpgid sethostname modify_ldt iopl ioperm
    arch_prctl landlock_create_ruleset move_mount fsopen mount_setattr process_mrelease
""".split()  # noqa: SIM905


@pytest.mark.parametrize("machine", COLUMNS)
def test_what_must_be_refused_is_whatever_its_arguments(machine: str):
    header = header_of(machine)
    for name in REFUSED:
        if name in header:
            for argument in (0, PID, 2**64 - 1):
                assert run(machine, header[name], (argument,) * 6) == EPERM, name


@pytest.mark.parametrize("machine", COLUMNS)
def test_filters_differ_in_the_pid_only(machine: str):
    filter_ = seccomp.Filter.build(machine)
    one, two = filter_.for_process(0x11111111), filter_.for_process(0x22222222)
    assert one.replace(b"\x11" * 4, b"\x22" * 4) == two
    assert one.count(b"\x11" * 4) == 3  # kill, tgkill, prlimit64
    assert filter_.for_process(0x11111111) == one


@cache
def program(machine: str, refuse_truncation: bool) -> list[tuple[int, int, int, int]]:
    code = seccomp.Filter.build(machine, refuse_truncation=refuse_truncation).for_process(PID)
    return list(struct.iter_unpack("<HBBI", code))


def run(
    machine: str, number: int, args: tuple[int, ...] = (0,) * 6, arch: int | None = None, refuse: bool = False
) -> int:
    """What the kernel would answer."""
    arch = ARCHITECTURES[machine] if arch is None else arch
    return bpf.answer(program(machine, refuse), arch, number, args)


def low(value: int) -> int:
    """The kernel reads 32 bits of an int argument, whatever the upper half of the register says."""
    return value & 0xFFFFFFFF


def expected(machine: str, number: int, args: tuple[int, ...], arch: int, refuse: bool) -> int:
    """The rules, said once more and plainly."""
    if arch != ARCHITECTURES[machine] or (machine == "x86_64" and number >= 0x40000000):
        return KILL_PROCESS
    table = {**ALLOWED, **JUDGED, **UNKNOWN}
    name = next((name for name, pair in table.items() if pair[COLUMNS[machine]] == number), None)
    if name is None:
        return ENOSYS if number > seccomp.NEWEST else EPERM
    if name in UNKNOWN:
        return ENOSYS
    first, second, third = args[:3]
    allowed = {
        "clone": low(first) & CLONE_THREAD and not any(first & flag for flag in CLONE_NEW),
        "kill": low(first) == PID and low(second) not in (signal.SIGKILL, signal.SIGSTOP),
        "tgkill": low(first) == PID and low(third) not in (signal.SIGKILL, signal.SIGSTOP),
        "prlimit64": third == 0 and low(first) in (0, PID),  # a pointer: all 64 bits count
        "prctl": low(first) in (15, 16),  # PR_SET_NAME, PR_GET_NAME
        "ioctl": low(second) in HARMLESS_IOCTLS,
        "fcntl": low(second) in HARMLESS_FCNTLS,
        "open": not (refuse and second & (os.O_CREAT | os.O_TRUNC)),
        "openat": not (refuse and third & (os.O_CREAT | os.O_TRUNC)),
    }.get(name, True)
    return ALLOW if allowed else EPERM


@pytest.mark.parametrize("refuse", [False, True])
@pytest.mark.parametrize("machine", COLUMNS)
def test_every_number_gets_the_answer_of_the_table(machine: str, refuse: bool):
    for number in [*range(1000), 0x3FFFFFFF, 0x40000000, 0x40000027, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]:
        arch = ARCHITECTURES[machine]
        for args in ((0,) * 6, (PID,) * 6, (2**64 - 1,) * 6):
            assert run(machine, number, args, refuse=refuse) == expected(machine, number, args, arch, refuse)


INTERESTING = [0, 1, PID, 9, 15, 16, 19, *HARMLESS_IOCTLS, *HARMLESS_FCNTLS, THREAD_FLAGS, *CLONE_NEW]
INTERESTING += [8, 10, 1024, 1025, 1026, os.O_CREAT, os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC]
values = st.sampled_from(INTERESTING)
arguments = st.one_of(
    values,
    st.builds(lambda value, flag: value | flag, st.just(THREAD_FLAGS), st.sampled_from(CLONE_NEW)),
    st.builds(lambda value, upper: value | upper << 32, values, st.integers(0, 2**32 - 1)),
    st.integers(0, 2**64 - 1),
)
judged_names = st.sampled_from([*JUDGED, "open", "openat"])


@given(
    machine=machines,
    name=judged_names,
    number=st.one_of(st.none(), st.integers(0, 600), st.integers(0, 2**32 - 1)),
    args=st.tuples(*[arguments] * 6),
    arch=st.one_of(
        st.none(), st.none(), st.sampled_from([0x40000003, 0x40000028]), st.integers(0, 2**32 - 1)
    ),
    refuse=st.booleans(),
)
def test_every_call_gets_the_answer_of_the_table(machine, name, number, args, arch, refuse):
    if number is None:
        number = {**ALLOWED, **JUDGED}[name][COLUMNS[machine]] or 0
    arch = ARCHITECTURES[machine] if arch is None else arch
    assert run(machine, number, args, arch, refuse) == expected(machine, number, args, arch, refuse)


@pytest.mark.parametrize("machine", COLUMNS)
def test_the_program_is_one_the_kernel_takes(machine: str):
    lines = program(machine, True)
    assert len(lines) <= 4096  # BPF_MAXINSNS
    assert lines[-1][0] == 0x06
    for at, (code, if_true, if_false, _) in enumerate(lines):
        if code != 0x06:
            assert at + 1 + max(if_true, if_false) < len(lines)
