"""What a run gives up before its program starts: capabilities, resources, files, system calls.

Every step is read back or raises: a run that is not locked down does not start. What each part does not cover
is said in `landlock` and `seccomp`; `docs/SANDBOX.md` has the whole.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import time
from dataclasses import dataclass

from services.sandbox.forkserver import landlock, linux, seccomp

THREADS = 64  # of one program, besides its first
_OPEN_FILES = 64
# The main thread's stack may grow to this. The kernel leaves a gap of at least 128 MiB below the stack, so
# raising the limit after exec is enough; 50,000 nested Python calls through C fit.
_STACK_BYTES = 112 << 20


@dataclass(frozen=True)
class Policy:
    """What the launcher prepared for every run.

    `ruleset` is a Landlock ruleset's descriptor (None at the `gvisor` level), `tasks` the RLIMIT_NPROC that
    leaves THREADS to one run, `base_bytes` the address space of the bare interpreter.
    """

    ruleset: int | None
    filter: seccomp.Filter
    tasks: int
    base_bytes: int


def lock_down(policy: Policy, *, time_s: float, memory_bytes: int, file_bytes: int) -> None:
    """Give everything up, irrevocably.

    Args:
        policy: see there.
        time_s: CPU seconds the program may use; RLIMIT_CPU is a backstop, the executor measures finer.
        memory_bytes: address space the program may use beyond what the interpreter has.
        file_bytes: largest file it may write, its output included.

    Raises:
        OSError: a step was refused or did not take: the program must not be run.
    """
    linux.drop_capabilities()
    linux.no_new_privileges()
    set_limits(
        {
            resource.RLIMIT_STACK: _STACK_BYTES,
            resource.RLIMIT_CPU: math.ceil(time.process_time() + time_s) + 1,
            resource.RLIMIT_FSIZE: file_bytes,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_NPROC: policy.tasks,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_MEMLOCK: 0,
            resource.RLIMIT_AS: policy.base_bytes + memory_bytes,
        }
    )
    if os.getuid() == 0 or os.geteuid() == 0:
        raise OSError(errno.EPERM, "a run must not be root")
    if policy.ruleset is not None:
        landlock.restrict_self(policy.ruleset)
        os.close(policy.ruleset)
    seccomp.install(policy.filter.for_process(os.getpid()))


def set_limits(wanted: dict[int, int]) -> None:
    """Lower rlimits, soft and hard, to these values or to what the hard ones are; read back."""
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
        if resource.getrlimit(kind) != (value, value):
            raise OSError(errno.EINVAL, f"rlimit {kind} did not take")
