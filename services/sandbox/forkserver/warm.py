"""Does what every run will do, before the fork, so that runs write to fewer shared pages.

CPython specialises bytecode in place as it runs and fills caches on first use: each such write in a child
copies a page, which is most of what a short run costs.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys

from services.sandbox.forkserver import child, landlock, linux, lockdown, program, seccomp

_NO_FILTER, _NO_RULESET = bytes(8), -1
_TIMES = 40  # 3.11 specialises after 8 calls, later versions after up to 17
_PROGRAM = (
    b"import sys\nn = int(input())\na = list(map(int, input().split()))\nprint(sum(a) + n, file=sys.stdout)\n"
)


def up(filter_: seccomp.Filter) -> None:
    """Run the harmless parts of a run in this process, many times."""
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        for _ in range(_TIMES):
            _once(filter_)
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams


def _once(filter_: seccomp.Filter) -> None:
    message = {"kind": "stdin", "compiled": True, "entry_point": "f", "time_s": 1.0}
    child.Job(**json.loads(json.dumps({**message, "memory_bytes": 1, "file_bytes": 1})))
    files = [os.memfd_create("atlas-warm") for _ in child.DESCRIPTORS]
    code, input_, output, _, start, end = files
    os.write(code, _PROGRAM)
    os.write(input_, b"1\n2 3\n")
    os.lseek(input_, 0, os.SEEK_SET)
    reporter = program.Reporter(start, end)
    sys.stdin = program.stream(input_, "r", "surrogateescape")
    sys.stdout = program.stream(output, "w", "surrogateescape")
    linux.drop_capabilities()
    linux.no_new_privileges()
    limits = {kind: resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)}
    lockdown.set_limits({kind: most for kind, most in limits.items() if most != resource.RLIM_INFINITY})
    filter_.for_process(os.getpid())
    with contextlib.suppress(OSError):  # the kernel refuses this and the next; all before that is warm
        seccomp.install(_NO_FILTER)
    with contextlib.suppress(OSError):
        landlock.restrict_self(_NO_RULESET)
    reporter.ready()
    loaded = program.load(child.read(code), False, reporter)
    exec(loaded, {"__name__": "__main__"})  # noqa: S102 - our own text
    sys.stdout.flush()
    program.to_json(program.read_arguments("[1, [2]]\n{}\n"))
    reporter.ended("ok")
    for fd in files:
        if fd != start:  # closed by the reporter
            os.close(fd)
