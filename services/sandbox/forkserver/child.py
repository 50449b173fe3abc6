"""One run, from the fork to its end: take the job, lock down, run the program. Never returns."""

from __future__ import annotations

import _random
import errno
import functools
import os
import random
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from services.sandbox.forkserver import linux, lockdown, program

Kind = Literal["stdin", "function", "compile"]
DESCRIPTORS = ("code", "input", "output", "stderr", "start", "end")


@dataclass(frozen=True)
class Job:
    """What the executor asks of one run; sizes in bytes, `time_s` in CPU seconds."""

    kind: Kind
    compiled: bool
    entry_point: str
    time_s: float
    memory_bytes: int
    file_bytes: int


def run(job: Job, descriptors: list[int], keep: Iterable[int], policy: lockdown.Policy) -> None:
    """Run a job in this process, which was forked for it.

    Args:
        job: see there.
        descriptors: memory files, in the order of DESCRIPTORS.
        keep: further descriptors the run needs.
        policy: what it gives up.
    """
    code, input_, output, stderr, start, end = descriptors
    reporter = program.Reporter(start, end)
    try:
        os.setsid()
        source = read(code)
        text = read(input_) if job.kind == "function" else b""
        script = job.kind == "stdin"
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for source_fd, target in ((input_ if script else nothing, 0), (output if script else nothing, 1)):
            os.dup2(source_fd, target)
        os.dup2(stderr, 2)
        kept = {start, end, *keep} | (set() if script else {output})
        _close_all_but(kept | ({policy.ruleset} if policy.ruleset is not None else set()))
        _RESEED(_GENERATOR)
        arguments = program.read_arguments(text.decode("utf-8", "surrogatepass")) if text else []
        namespace = dict(_PRELUDE) if job.kind == "function" else {}
        lockdown.lock_down(
            policy, time_s=job.time_s, memory_bytes=job.memory_bytes, file_bytes=job.file_bytes
        )
    except MemoryError:
        reporter.failed("no memory to start a run")
        os._exit(1)
    except (OSError, ValueError, RecursionError) as error:
        reporter.failed(program.describe(error))
        os._exit(1)
    threading.excepthook = functools.partial(_thread_failed, reporter)
    sys.setrecursionlimit(program.RECURSION_LIMIT)
    reporter.ready()
    loaded = program.load(source, job.compiled, reporter)
    if job.kind == "compile":
        program.compile_only(loaded, output, reporter)
    elif script:
        program.run_script(loaded, reporter)
    else:
        program.run_function(loaded, job.entry_point, arguments, namespace, output, reporter)


def _thread_failed(reporter: program.Reporter, args: threading.ExceptHookArgs) -> None:
    """A thread's failure ends the thread, not the program, as in any Python; but memory is everyone's."""
    if isinstance(args.exc_value, MemoryError):
        reporter.out_of_memory()
    threading.__excepthook__(args)


_PRELUDE = program.prelude()
# The generator behind the module's functions, and its seeding from the system without Python code around it.
_GENERATOR, _RESEED = random.seed.__self__, _random.Random.seed  # type: ignore[attr-defined]


def die_with_server(server: int) -> None:
    """SIGKILL this run when the slot server dies; only where they share a pid namespace.

    Raises:
        OSError: the server has died already.
    """
    linux.die_with_parent()
    if os.getppid() != server:
        raise OSError(errno.ESRCH, "the slot server has gone")


def read(fd: int) -> bytes:
    """The whole of a memory file, wherever its position is: it may be shared with other runs."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    while len(data) < size:
        data += os.pread(fd, size - len(data), len(data))
    return data


def _close_all_but(kept: set[int]) -> None:
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, max(first, _MOST_DESCRIPTORS))


_MOST_DESCRIPTORS = os.sysconf("SC_OPEN_MAX")
