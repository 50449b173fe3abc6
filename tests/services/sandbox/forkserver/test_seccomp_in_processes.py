"""The filter on real processes: what programs need works, and nothing else does."""

import errno
import json
import platform
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from services.sandbox.forkserver import seccomp

Child = Callable[..., CompletedProcess[str]]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(platform.machine() not in seccomp.MACHINES, reason="no table for this machine"),
]

PRELUDE = """
import ctypes, errno, fcntl, json, os, platform, resource, select, signal, socket, sys, threading, time
from services.sandbox.forkserver import linux, seccomp
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *args):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args)) < 0:
        raise OSError(ctypes.get_errno(), "")
def outcome(text):
    try:
        exec(text)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
def lock(**options):
    linux.no_new_privileges()
    seccomp.install(seccomp.Filter.build(platform.machine(), **options).for_process(os.getpid()))
"""


FINE = (
    "open(os.__file__).read(10); os.listdir('/'); os.stat('/'); os.readlink('/proc/self/exe'); os.getcwd()",
    "f = open('f', 'wb'); f.write(b'x'); f.flush(); f.truncate(0); os.fsync(f.fileno()); os.unlink('f')",
    "os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e')",
    "r, w = os.pipe(); os.set_inheritable(r, True); os.set_blocking(r, False); os.dup2(r, w); os.close(r)",
    "e = select.epoll(); e.poll(0); e.close(); select.select([], [], [], 0); select.poll().poll(0)",
    "t = threading.Thread(target=time.sleep, args=(0.001,), name='t'); t.start(); t.join()",
    "time.sleep(0.001); time.time(); time.process_time(); time.thread_time(); os.times()",
    "signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1)",
    "signal.raise_signal(signal.SIGUSR1); signal.setitimer(signal.ITIMER_REAL, 0); signal.alarm(0)",
    "signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)",
    "resource.getrlimit(resource.RLIMIT_AS); resource.getrusage(resource.RUSAGE_SELF); os.uname()",
    "os.urandom(8); os.getrandom(8); os.sched_getaffinity(0); os.sched_yield(); os.isatty(0)",
    "import mmap; m = mmap.mmap(-1, 1 << 20); m[0] = 1; m.close()",
    "fcntl.fcntl(0, fcntl.F_GETFL); fcntl.fcntl(0, fcntl.F_GETFD)",
)
FORBIDDEN = (
    "os.fork()",
    "os.execv('/bin/true', ['true'])",
    "os.posix_spawn('/bin/true', ['true'], {})",
    "socket.socket()",
    "socket.socketpair()",
    "socket.socket(socket.AF_UNIX)",
    "os.memfd_create('x')",
    "os.kill(os.getppid(), 0)",
    "os.kill(0, 0)",
    "os.kill(-1, 0)",
    "os.kill(os.getpid(), signal.SIGKILL)",
    "os.kill(os.getpid(), signal.SIGSTOP)",
    "os.chmod('.', 0o700)",
    "os.chown('.', os.getuid(), os.getgid())",
    "os.utime('.')",
    "os.symlink('a', 'b')",
    "os.link('there', 'c')",
    "os.mkfifo('pipe')",
    "os.truncate('there', 0)",
    "os.setsid()",
    "os.setpgid(0, 0)",
    "os.nice(1)",
    "os.sched_setaffinity(0, {0})",
    "os.chroot('/')",
    "os.pidfd_open(os.getppid())",
    "fcntl.flock(0, fcntl.LOCK_SH)",
    "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "fcntl.fcntl(0, 10, signal.SIGKILL)",  # F_SETSIG
    "fcntl.fcntl(0, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
    "fcntl.ioctl(0, 0x5412, b'x')",  # TIOCSTI
    "linux.unshare(linux.CLONE_NEWUSER)",
    "linux.set_dumpable(False)",
    "syscall(302 if platform.machine() == 'x86_64' else 261, os.getppid(), 0, 0, 0)",  # prlimit64 of another
    "syscall(425, 1, 0)",  # io_uring_setup
    "os.setresuid(1, 1, 1)",
)
OLDER_WAY = ("syscall(435, 0, 0)", "syscall(437, -100, 0, 0, 0)", "syscall(451, 0)", "syscall(1000, 0)")
# Python says these its own way, so they are asked for by what is left afterwards.
KEEPS_LIMITS = """
lock()
before = resource.getrlimit(resource.RLIMIT_CPU)
try:
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
except (OSError, ValueError):
    pass
print(resource.getrlimit(resource.RLIMIT_CPU) == before)
"""


@pytest.mark.parametrize(("calls", "answer"), [(FINE, "ok"), (FORBIDDEN, "EPERM"), (OLDER_WAY, "ENOSYS")])
def test_calls_work_or_are_refused(child: Child, tmp_path: Path, calls: tuple[str, ...], answer: str):
    (tmp_path / "there").write_text("kept")
    ended = child(
        PRELUDE + "lock()\nprint(json.dumps({text: outcome(text) for text in json.loads(sys.argv[1])}))",
        json.dumps(calls),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == dict.fromkeys(calls, answer)


def test_limits_can_be_read_but_not_changed(child: Child):
    ended = child(PRELUDE + KEEPS_LIMITS)
    assert (ended.stdout, ended.returncode) == ("True\n", 0), ended.stderr


def test_no_signal_reaches_another_process_by_way_of_a_descriptors_owner(child: Child):
    """F_SETOWN and F_SETSIG would have the kernel send the parent any signal."""
    ended = child(
        PRELUDE + "lock()\nr, w = os.pipe()\n"
        "steps = ((fcntl.F_SETOWN, os.getppid()), (10, signal.SIGURG), (fcntl.F_SETFL, os.O_ASYNC))\n"
        "for command, value in steps:\n"
        "    try: fcntl.fcntl(r, command, value)\n"
        "    except OSError as error: print(error.errno)\n"
    )
    assert ended.stdout.split() == [str(errno.EPERM)] * 2, ended.stderr


def test_numpy_and_its_threads_work(child: Child):
    pytest.importorskip("numpy")
    ended = child(
        PRELUDE + "lock()\nimport numpy as np\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "a = np.ones((400, 400))\nwith ThreadPoolExecutor(4) as pool:\n"
        "    print([float((m @ a)[0, 0]) for m in pool.map(lambda n: a * n, range(3))])\n"
        "print(round(float(np.linalg.eigvalsh(a)[-1])))\n"
    )
    assert (ended.stdout, ended.returncode) == ("[0.0, 400.0, 800.0]\n400\n", 0), ended.stderr


def test_without_truncation_files_open_for_reading_and_for_what_is_there(child: Child, tmp_path: Path):
    there = tmp_path / "there"
    there.write_text("kept")
    ended = child(
        PRELUDE + "lock(refuse_truncation=True)\nmodes = ('r', 'r+', 'w', 'x', 'a')\n"
        "print([outcome(f'open(sys.argv[1], {mode!r}).close()') for mode in modes])",
        str(there),
    )
    assert ended.stdout == "['ok', 'ok', 'EPERM', 'EPERM', 'EPERM']\n", ended.stderr
    assert there.read_text() == "kept"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has x32")
def test_an_x32_call_kills(child: Child):
    ended = child(PRELUDE + "lock()\nsyscall(0x40000000 + 39)")
    assert ended.returncode == -signal.SIGSYS


INT_80 = """
import mmap
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
m.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of 32 bits); int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine code is x86_64's")
def test_a_32_bit_call_kills(child: Child):
    if child(PRELUDE + INT_80 + "call()").returncode != 0:
        pytest.skip("this kernel has no 32-bit system calls")
    assert child(PRELUDE + INT_80 + "lock()\ncall()").returncode == -signal.SIGSYS


def test_a_filter_that_is_no_program_is_an_error(child: Child):
    ended = child(
        PRELUDE + "linux.no_new_privileges()\ntry: seccomp.install(bytes(8))\nexcept OSError as e: print(e)"
    )
    assert "seccomp: Invalid argument" in ended.stdout, ended.stderr
