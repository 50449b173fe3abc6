"""Before serving: prove on this machine that the sandbox holds, by trying to break out of it."""

from __future__ import annotations

from typing import NamedTuple

from atlas.contracts import Limits
from atlas.errors import StartupError
from atlas.executor import RunStatus
from services.sandbox.runs import run_program


class _Attempt(NamedTuple):
    what: str
    code: str
    expected: RunStatus


_LIMITS = Limits(time_s=0.4, memory_mb=64, output_kb=64)
_ATTEMPTS = (
    _Attempt("a plain program", "print(sum(range(10)))", RunStatus.OK),
    _Attempt("refusing a network socket", "import socket\nsocket.socket()", RunStatus.FORBIDDEN),
    _Attempt("refusing a second process", "import os\nos.fork()", RunStatus.FORBIDDEN),
    _Attempt("the memory limit", "b'x' * (256 << 20)", RunStatus.MEMORY_LIMIT),
    _Attempt("the time limit", "while True: pass", RunStatus.TIME_LIMIT),
    _Attempt("the output limit", "while True: print('x' * 1000)", RunStatus.OUTPUT_LIMIT),
)


def self_check() -> str:
    """Try each limit in a real child; returns the name of the isolation level.

    Raises:
        StartupError: one did not take: the machine must not run untrusted programs.
    """
    isolation = ""
    for what, code, expected in _ATTEMPTS:
        ran = run_program(code, "", limits=_LIMITS)
        if ran.run.status is not expected:
            raise StartupError(
                f"sandbox self-check failed at {what}: wanted {expected.value}, got {ran.run.status.value}"
                f" ({ran.run.error or 'no error'}). This executor needs Linux on x86_64 or aarch64 with"
                " seccomp filters and rlimits; in a container allow them (seccomp profile RuntimeDefault)."
            )
        isolation = ran.isolation
    return isolation
