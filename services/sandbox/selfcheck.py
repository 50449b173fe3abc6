"""Before serving: prove on this machine that the sandbox holds, by trying to break each of its limits."""

from __future__ import annotations

import os
from dataclasses import dataclass

from atlas.errors import StartupError
from atlas.executor import RunStatus
from services.sandbox.fork_server import LostError
from services.sandbox.runs import to_run
from services.sandbox.slot import Job, Slot

_OK, _FORBIDDEN = RunStatus.OK, RunStatus.FORBIDDEN


@dataclass(frozen=True)
class Attempt:
    """One program and what must become of it: a status, and a text it must print (if it is ok)."""

    what: str
    code: str
    status: RunStatus
    output: str = ""
    wall_s: float = 10.0


# Each is tried at every level.
ATTEMPTS = (
    Attempt("a plain program", "print(sum(range(10)))", _OK, "45"),
    Attempt("importing from the library", "import sqlite3, xml.dom.minidom\nprint('in')", _OK, "in"),
    Attempt(
        "not being root", "import os\nprint(0 in (os.getuid(), os.geteuid(), os.getgid()))", _OK, "False"
    ),
    Attempt("an empty environment", "import os\nprint(dict(os.environ))", _OK, "{}"),
    Attempt("refusing a network socket", "import socket\nsocket.socket()", _FORBIDDEN),
    Attempt("refusing a local socket", "import socket\nsocket.socketpair()", _FORBIDDEN),
    Attempt("refusing a second process", "import os\nos.fork()", _FORBIDDEN),
    Attempt("refusing another program", "import os\nos.execv('/bin/true', ['true'])", _FORBIDDEN),
    Attempt("refusing signals to others", "import os\nos.kill(os.getppid(), 0)", _FORBIDDEN),
    Attempt(
        "refusing ptrace, mounts, namespaces and keys",
        "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
        "n = {'x86_64': (101, 165, 272, 250, 321), 'aarch64': (117, 40, 97, 219, 280)}[os.uname().machine]\n"
        "print([(c.syscall(i, 0, 0, 0, 0), ctypes.get_errno()) for i in n])",
        _OK,
        str([(-1, 1)] * 5),
    ),
    Attempt(
        "the lockdown being final",
        "import resource\ns, h = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "try: resource.setrlimit(resource.RLIMIT_CPU, (s, h))\nexcept (ValueError, OSError): print('kept')",
        _OK,
        "kept",
    ),
    Attempt("the memory limit", "b'x' * (256 << 20)", RunStatus.MEMORY_LIMIT),
    Attempt("the CPU time limit", "while True: pass", RunStatus.TIME_LIMIT),
    Attempt("the wall clock limit", "import time\ntime.sleep(60)", RunStatus.TIME_LIMIT, wall_s=0.3),
    Attempt("the output limit", "while True: print('x' * 1000)", RunStatus.OUTPUT_LIMIT),
    Attempt(
        "the limit on open files",
        "import os\ntry:\n  while True: os.dup(0)\nexcept OSError as e: print(e.errno)",
        _OK,
        "24",
    ),
)
# Not in gVisor, which does not count a user's tasks: the pod's own limits must do.
THREADS = (
    Attempt(
        "the limit on threads",
        "import threading\nthreading.stack_size(32768)\nstop = threading.Event()\nn = 0\ntry:\n"
        "  for n in range(5000): threading.Thread(target=stop.wait).start()\n"
        "except RuntimeError: print('refused')\nstop.set()",
        _OK,
        "refused",
    ),
)
NAMESPACES = (
    Attempt(
        "an empty file system",
        "import os\nprint([p for p in ('/proc/self', '/sys/kernel', '/etc/passwd', '/bin/sh', '/var')"
        " if os.path.exists(p)])",
        _OK,
        "[]",
    ),
    Attempt(
        "nothing writable but the box",
        "import os\nopen('a', 'w').close()\n"
        "try: open('/a', 'w')\nexcept OSError as e: print(os.getcwd(), e.errno)",
        _OK,
        "/box 30",
    ),
    Attempt("a box of its own for each run", "import os\nprint(os.listdir('/box'))", _OK, "[]"),
    Attempt(
        "the limit on files",
        "n = 0\ntry:\n  for n in range(5000): open(str(n), 'w').close()\nexcept OSError as e: print(e.errno)",
        _OK,
        "28",
    ),
    Attempt(
        "the limit on disk space",
        "n = 0\ntry:\n  for n in range(5000): open(str(n), 'w').write('x' * 60000)\n"
        "except OSError as e: print(e.errno)",
        _OK,
        "28",
    ),
    Attempt("seeing no other process", "import os\nprint(os.getppid())", _OK, "1"),
)
LANDLOCK = (
    Attempt("refusing files of the machine", "open('/etc/passwd')", _FORBIDDEN),
    Attempt(
        "refusing the processes of the machine",
        "open(f'/proc/{__import__(\"os\").getppid()}/environ')",
        _FORBIDDEN,
    ),
    Attempt("refusing to write", "open('/tmp/atlas-escaped', 'w')", _FORBIDDEN),
)
BY_LEVEL = {
    "namespaces": (*THREADS, *NAMESPACES),
    "pod": (*THREADS, *LANDLOCK),
    "gvisor": (Attempt("refusing to write", "open('/tmp/atlas-escaped', 'w')", _FORBIDDEN),),
}


def try_limits(slot: Slot, level: str) -> None:
    """Try each limit of a level in real runs.

    Raises:
        StartupError: one did not take: the machine must not run untrusted programs.
    """
    for attempt in (*ATTEMPTS, *BY_LEVEL[level]):
        run_attempt(slot, attempt)


def run_attempt(slot: Slot, attempt: Attempt) -> None:
    """Make one attempt.

    Raises:
        StartupError: it went otherwise than it must.
    """
    code = os.memfd_create("atlas-check", os.MFD_CLOEXEC)
    try:
        os.write(code, attempt.code.encode())
        job = Job(
            code=code,
            compiled=False,
            kind="stdin",
            entry_point="",
            input=b"",
            time_s=0.4,
            wall_s=attempt.wall_s,
            memory_bytes=64 << 20,
            output_bytes=64 << 10,
        )
        run = to_run(job, slot.run(job))
    except (LostError, OSError) as error:
        raise StartupError(f"{attempt.what}: {error}") from error
    finally:
        os.close(code)
    if run.status is not attempt.status or (run.status is _OK and run.output.strip() != attempt.output):
        wanted = f"{attempt.status.value} {attempt.output}".strip()
        got = f"{run.status.value} {run.output.strip()[:200]}".strip()
        raise StartupError(
            f"self-check of {attempt.what}: wanted '{wanted}', got '{got}' ({run.error or 'no error'})"
        )
