"""Runs one program in this very process: as a script, or as the function of a name. Never returns.

What is reported, one JSON line each:

1. on `start`, which is closed before the program begins: `{"ready": true, "cpu_s"}`, or `{"failed": reason}`
   (the program was not run). So a program cannot claim that the machinery failed;
2. on `end`: `{"status", "error"}`, how it ended (absent: believe the exit status alone). A program that finds
   this descriptor can forge the line, and gains nothing that returning or printing would not have given it.

A `function` program's value goes to `output`, as JSON.
"""

from __future__ import annotations

import atexit
import builtins
import errno
import importlib
import io
import json
import marshal
import os
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any, Literal

RECURSION_LIMIT = 50_000
# LiveCodeBench puts `from X import *` for these, in this order, before every function-kind program
# (lcb_runner/evaluation/testing_util.py); later names hide earlier ones, builtins come last but for typing.
PRELUDE = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
_ERROR_CHARS, _TEXT_CHARS = 2_000, 1_500
_JSON_SCALARS = (str, int, float, type(None))


class NotJsonError(Exception):
    """A returned value that JSON has no word for. Never leaves this module."""


# Made ahead: there may be no memory left to make it when it is needed.
_MEMORY_LINE = b'{"status": "memory_limit", "error": "MemoryError"}\n'
_READY_LINE = b'{"ready": true, "cpu_s": %.6f}\n'


class Reporter:
    """Writes the two lines, the second at most once."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end, self._ended = start, end, False

    def ready(self) -> None:
        """The program starts now."""
        self._begin(_READY_LINE % time.process_time())

    def failed(self, reason: str) -> None:
        """The program will not be run."""
        self._begin(_line(failed=reason[:_ERROR_CHARS]))

    def ended(self, status: str, error: str = "") -> None:
        """How it ended. Only the first call counts."""
        if not self._ended:
            self._ended = True
            self._write(_line(status=status, error=error[:_ERROR_CHARS]))

    def out_of_memory(self) -> None:
        """The same, without needing any memory to say it."""
        if not self._ended:
            self._ended = True
            self._write(_MEMORY_LINE)

    def error(self, error: BaseException) -> None:
        """Report how an exception that nobody caught ends the program."""
        number = getattr(error, "errno", None)
        if isinstance(error, MemoryError) or number == errno.ENOMEM:
            self.out_of_memory()
        elif isinstance(error, PermissionError) and number in (errno.EPERM, errno.EACCES):
            self.ended("forbidden", describe(error))
        elif isinstance(error, OSError) and number in (errno.EFBIG, errno.ENOSPC):
            self.ended("output_limit", describe(error))
        else:
            self.ended("runtime_error", describe(error))

    def _begin(self, line: bytes) -> None:
        os.write(self._start, line)
        os.close(self._start)

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._end, line)
        except OSError:  # the program closed it: the exit status and stderr must do
            os.write(2, line)


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"


def describe(error: BaseException) -> str:
    """The last line of the traceback, with the program's line number; never raises."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - the program's own __str__ may raise anything
        text = f"<str() raised {type(broken).__name__}>"
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<program>":
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line})" if line is not None else ""
    return f"{type(error).__name__}: {text[:_TEXT_CHARS]}".rstrip(": ") + where


# ---------------------------------------------------------------- from source to code


def load(source: bytes, compiled: bool, reporter: Reporter) -> types.CodeType:
    """The program's code object: from its source in UTF-8, or from what `compile_only` made of it."""
    if compiled:
        code: types.CodeType = marshal.loads(source)  # noqa: S302 - we are inside the sandbox already
        return code
    try:
        return compile(source.decode("utf-8", "surrogatepass"), "<program>", "exec", dont_inherit=True)
    except MemoryError:
        reporter.out_of_memory()
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        reporter.ended("compile_error", describe(error) + (f" (line {line})" if line else ""))
    os._exit(1)


def compile_only(code: types.CodeType, output: int, reporter: Reporter) -> None:
    """Hand the compiled program out, for runs to come."""
    try:
        _write_all(output, marshal.dumps(code))
    except BaseException as error:  # noqa: BLE001 - too large, out of memory
        reporter.error(error)
        os._exit(1)
    reporter.ended("ok")
    os._exit(0)


# ---------------------------------------------------------------- scripts


def run_script(code: types.CodeType, reporter: Reporter) -> None:
    """Run as `__main__` on standard input and output; end as an interpreter would."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what `site` would have added
    status = 1
    try:
        exec(code, module.__dict__)  # noqa: S102 - the whole point
        status = 0
    except SystemExit as stop:
        status = 0 if stop.code in (None, 0) else 1
        if status:
            reporter.ended("runtime_error", f"SystemExit: {str(stop.code)[:200]}")
    except BaseException as error:  # noqa: BLE001 - whatever the program raised
        reporter.error(error)
    status = _finish(status, reporter)
    reporter.ended("ok")
    os._exit(status)


def _finish(status: int, reporter: Reporter) -> int:
    """Wait for threads, run the exit handlers, flush: the order of Py_FinalizeEx."""
    try:
        if threading.active_count() > 1:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.__stdout__):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException as error:  # noqa: BLE001
        reporter.error(error)
        return 1
    return status


def standard_streams() -> None:
    """New stream objects on descriptors 0, 1 and 2, as an interpreter in UTF-8 mode makes them.

    Made before the fork, with nothing read or written yet: what a run puts in place of those descriptors,
    each at its beginning, is what its streams read and write.
    """
    sys.stdin = sys.__stdin__ = stream(0, "r", "surrogateescape")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = stream(1, "w", "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = stream(2, "w", "backslashreplace")  # type: ignore[misc]


def stream(fd: int, mode: Literal["r", "w"], errors: str) -> io.TextIOWrapper:
    """A text stream in UTF-8 on a descriptor, which stays open with it."""
    raw = io.FileIO(fd, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffer, "utf-8", errors, "\n", line_buffering=fd == 2)
    stream.mode = mode  # type: ignore[misc]
    return stream


# ---------------------------------------------------------------- functions


def prelude() -> dict[str, object]:
    """The names LiveCodeBench's prelude puts in reach. Importing them makes the fork server warm, too."""
    namespace: dict[str, object] = {}
    modules = {name: importlib.import_module(name) for name in PRELUDE}
    for module in modules.values():
        public = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        namespace.update((name, getattr(module, name)) for name in public)
    namespace.update(modules)
    return namespace


def read_arguments(text: str) -> list[object]:
    """One JSON value per line. Split on newlines only: U+2028 may stand inside a JSON string.

    Raises:
        ValueError: a line is not JSON.
    """
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


def run_function(
    code: types.CodeType,
    entry_point: str,
    arguments: list[object],
    namespace: dict[str, object],
    output: int,
    reporter: Reporter,
) -> None:
    """Call `Solution().entry_point(*arguments)`, or the function of that name, and hand its value out."""
    module = types.ModuleType("solution")
    module.__dict__.update(namespace, __name__="solution")
    sys.modules["solution"] = module  # dataclasses and typing look a class's module up
    try:
        exec(code, module.__dict__)  # noqa: S102
        value = _find(module.__dict__, entry_point)(*arguments)
        sys.setrecursionlimit(RECURSION_LIMIT)
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(0)
        _write_all(output, to_json(value).encode("ascii"))
    except NotJsonError as error:
        reporter.ended("ok", str(error))
        os._exit(0)
    except SystemExit:
        reporter.ended("runtime_error", "SystemExit: the function did not return")
        os._exit(1)
    except BaseException as error:  # noqa: BLE001
        reporter.error(error)
        os._exit(1)
    reporter.ended("ok")
    os._exit(0)


def _find(namespace: dict[str, Any], entry_point: str) -> Callable[..., object]:
    solution = namespace.get("Solution")
    if isinstance(solution, type) and hasattr(solution, entry_point):
        method: Callable[..., object] = getattr(solution(), entry_point)
        return method
    function: Callable[..., object] | None = namespace.get(entry_point)
    if not callable(function):
        raise NameError(f"the program defines neither Solution.{entry_point} nor a function {entry_point}")
    return function


def to_json(value: object, dumps: Callable[[object], str] = json.dumps) -> str:
    """The value as JSON; tuples become lists.

    Raises:
        NotJsonError: it holds something JSON has no word for, itself, or a dict whose keys are not strings.
    """
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, _JSON_SCALARS):
            continue
        if not isinstance(item, (list, tuple, dict)):
            raise NotJsonError(f"the returned value holds a {type(item).__name__}, which is not JSON")
        if id(item) in seen:  # shared or circular; dumps tells the two apart
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise NotJsonError("the returned value holds a dict whose keys are not all strings")
            waiting.extend(item.values())
        else:
            waiting.extend(item)
    try:
        return dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJsonError(f"the returned value is not JSON: {error}") from error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
