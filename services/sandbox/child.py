"""Runs one program on one input, in a process of its own. Standard library only, never imported.

Started as `python -I -S -B -X utf8 child.py JOB_FD REPORT_FD`. The job is one JSON object read from JOB_FD.
What is said on REPORT_FD, one line each:

1. `{"token", "ready": isolation, "cpu_s"}`  once everything is locked down and before the program starts,
   or `{"token", "failed": reason}`: the program was not run;
2. `{"token", "status", "error", "memory_mb"}`  how it ended (absent: believe the exit status alone);
3. for a `function` program that returned: its value as JSON.

The token keeps a program that writes to this descriptor by accident from being believed. A program that
looks for the token in its own interpreter can forge line 2 and 3: it gains nothing by that which returning
or printing the same value would not have given it, since `infrastructure_error` cannot be said after line 1.
"""

# pathlib would add its import time to every run.
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import atexit
import builtins
import errno
import importlib
import json
import math
import os
import sys
import threading
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RECURSION_LIMIT = 50_000
# LiveCodeBench puts `from X import *` for these, in this order, before every function-kind program
# (lcb_runner/evaluation/testing_util.py); later names hide earlier ones, builtins come last but for typing.
PRELUDE = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
JSON_SCALARS = (str, int, float, type(None))

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
lockdown = importlib.import_module("lockdown")
del sys.path[0], sys.modules["lockdown"]


class Reporter:
    """Writes the report lines, the last one at most once."""

    def __init__(self, fd: int, token: str) -> None:
        self._fd, self._token, self._ended = fd, token, False
        self._status_fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        # Made ahead: there may be no memory left to make it when it is needed.
        self._memory_line = self._line(status="memory_limit", error="MemoryError")

    def ready(self, isolation: str) -> None:
        """Line 1: the program starts now."""
        self._write(self._line(ready=isolation, cpu_s=time.process_time()))

    def failed(self, reason: str) -> None:
        """Line 1: the program will not be run."""
        self._write(self._line(failed=reason))

    def ended(self, status: str, error: str = "", value: str = "") -> None:
        """Line 2, and line 3 if there is a value. Only the first call counts."""
        if self._ended:
            return
        self._ended = True
        line = self._line(status=status, error=error[:2000], memory_mb=self._peak_mb())
        try:
            self._write(line + (value.encode("ascii") + b"\n" if value else b""))
        except OSError:  # the program closed the pipe: the exit status and stderr must do
            os.write(2, error.encode("utf-8", "replace"))

    def out_of_memory(self) -> None:
        """Line 2, without needing any memory to say it."""
        if not self._ended:
            self._ended = True
            self._write(self._memory_line)

    def error(self, error: BaseException) -> None:
        """Report how an exception that nobody caught ends the program."""
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            self.out_of_memory()
        elif isinstance(error, PermissionError):
            self.ended("forbidden", describe(error))
        elif isinstance(error, OSError) and error.errno == errno.EFBIG:
            self.ended("output_limit", describe(error))
        else:
            self.ended("runtime_error", describe(error))

    def _line(self, **fields: object) -> bytes:
        return json.dumps({"token": self._token, **fields}).encode("ascii") + b"\n"

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def _peak_mb(self) -> float:
        # Not ru_maxrss: across exec that one starts from the executor's own size.
        try:
            text = os.pread(self._status_fd, 4096, 0)
        except OSError:  # the program closed it
            return 0.0
        return next((int(ln.split()[1]) / 1024 for ln in text.splitlines() if ln.startswith(b"VmHWM")), 0.0)


def describe(error: BaseException) -> str:
    """The last line of the traceback, with the program's line number; never raises."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - the program's own __str__ may raise anything
        text = f"<str() raised {type(broken).__name__}>"
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line})" if line is not None else ""
    return f"{type(error).__name__}: {text[:1500]}".rstrip(": ") + where


def main() -> int:
    """Read the job, lock down, run. The exit status is 0 only if the program ended well."""
    job_fd, report_fd = int(sys.argv[1]), int(sys.argv[2])
    with open(job_fd, encoding="ascii") as file:
        job = json.load(file)
    lockdown.die_with_parent(job["parent"])
    os.set_inheritable(report_fd, False)
    os.environ.clear()
    sys.argv[:] = ["program.py"]
    reporter = Reporter(report_fd, job["token"])
    namespace: dict[str, object] = {}
    arguments: list[object] = []
    try:
        if job["kind"] == "function":
            arguments = read_arguments(job["input"])
            namespace = prelude()
        isolation = lockdown.lock_down(
            cpu_s=math.ceil(time.process_time() + job["time_s"]) + 1,
            memory_bytes=job["memory_bytes"],
            file_bytes=job["output_bytes"],
        )
    except (OSError, ValueError, RecursionError) as error:
        reporter.failed(describe(error))
        return 1
    threading.excepthook = lambda args: reporter.error(args.exc_value or SystemError("a thread failed"))
    sys.setrecursionlimit(RECURSION_LIMIT)
    reporter.ready(isolation)
    try:
        program = compile(job["code"], "<program>", "exec", dont_inherit=True)
    except MemoryError:
        reporter.out_of_memory()
        return 1
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        reporter.ended("compile_error", describe(error) + (f" (line {line})" if line else ""))
        return 1
    if job["kind"] == "stdin":
        return run_stdin(program, reporter)
    return run_function(program, job["entry_point"], arguments, namespace, reporter)


def run_stdin(program: types.CodeType, reporter: Reporter) -> int:
    """Run as `__main__` on the real stdin and stdout; the interpreter's normal exit follows."""
    module = types.ModuleType("__main__")
    reporter_keeps = sys.modules["__main__"]  # its globals are this file's: keep them alive
    sys.modules["__main__"] = module
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what `site` would have added
    status = 1

    def leave() -> None:  # registered first, so it runs last: after threads and the program's own handlers
        nonlocal status
        try:
            for stream in (sys.stdout, sys.__stdout__):
                if stream is not None and not stream.closed:
                    stream.flush()
        except (OSError, ValueError) as error:
            reporter.error(error)
            status = 1
        reporter.ended("ok")
        os._exit(status)

    atexit.register(leave)
    try:
        exec(program, module.__dict__)  # noqa: S102 - the whole point
        status = 0
    except SystemExit as stop:
        status = 0 if stop.code in (None, 0) else 1
        if status:
            reporter.ended("runtime_error", f"SystemExit: {str(stop.code)[:200]}")
    except BaseException as error:  # noqa: BLE001 - whatever the program raised
        reporter.error(error)
    del reporter_keeps
    return status


def run_function(
    program: types.CodeType,
    entry_point: str,
    arguments: list[object],
    namespace: dict[str, object],
    reporter: Reporter,
) -> int:
    """Call `Solution().entry_point(*arguments)`, or the function of that name, and report its value."""
    module = types.ModuleType("solution")
    module.__dict__.update(namespace, __name__="solution")
    sys.modules["solution"] = module  # dataclasses and typing look a class's module up
    try:
        exec(program, module.__dict__)  # noqa: S102
        value = find(module.__dict__, entry_point)(*arguments)
        sys.setrecursionlimit(RECURSION_LIMIT)
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(0)
        text = to_json(value)
    except SystemExit:
        reporter.ended("runtime_error", "SystemExit: the function did not return")
        os._exit(1)
    except BaseException as error:  # noqa: BLE001
        reporter.error(error)
        os._exit(1)
    reporter.ended("ok", value=text)
    os._exit(0)


def find(namespace: dict[str, Any], entry_point: str) -> Callable[..., object]:
    """The callable named `entry_point`: of `class Solution` if it has one, else of the module."""
    solution = namespace.get("Solution")
    if isinstance(solution, type) and hasattr(solution, entry_point):
        method: Callable[..., object] = getattr(solution(), entry_point)
        return method
    function: Callable[..., object] | None = namespace.get(entry_point)
    if not callable(function):
        raise NameError(f"the program defines neither Solution.{entry_point} nor a function {entry_point}")
    return function


def read_arguments(text: str) -> list[object]:
    """One JSON value per line. Split on newlines only: U+2028 may stand inside a JSON string."""
    limit = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
    if limit is not None:
        sys.set_int_max_str_digits(0)
    try:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise ValueError(f"the input is not one JSON value per line: {error}") from error
    finally:
        if limit is not None:
            sys.set_int_max_str_digits(limit)


def prelude() -> dict[str, object]:
    """The names LiveCodeBench's prelude puts in reach."""
    namespace: dict[str, object] = {}
    modules = {name: importlib.import_module(name) for name in PRELUDE}
    for module in modules.values():
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        namespace.update((name, getattr(module, name)) for name in public)
    namespace.update(modules)
    return namespace


def to_json(value: object, dumps: Callable[[object], str] = json.dumps) -> str:
    """The value as JSON; tuples become lists.

    Raises:
        TypeError: it holds something JSON has no word for, or a dict whose keys are not strings.
    """
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, JSON_SCALARS):
            continue
        if not isinstance(item, (list, tuple, dict)):
            raise TypeError(f"the returned value holds a {type(item).__name__}, which is not JSON")
        if id(item) in seen:  # shared or circular; dumps tells the two apart
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise TypeError("the returned value holds a dict whose keys are not all strings")
            waiting.extend(item.values())
        else:
            waiting.extend(item)
    return dumps(value)


if __name__ == "__main__":
    sys.exit(main())
