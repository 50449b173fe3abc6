"""One program on one input, and the name of how it ended. Blocking: call it from a thread."""

from __future__ import annotations

from threading import Event
from typing import Literal, NamedTuple

from atlas.contracts import OUTPUT_KEPT_CHARS, Limits
from atlas.executor import Run, RunStatus
from services.sandbox.process import Ended, Job, run_child

MEBIBYTE = 1 << 20
KIBIBYTE = 1 << 10

# What a child may say about itself once its program has started. `infrastructure_error` is not among them.
_OWN_WORD = {
    status.value: status
    for status in (
        RunStatus.RUNTIME_ERROR,
        RunStatus.MEMORY_LIMIT,
        RunStatus.OUTPUT_LIMIT,
        RunStatus.COMPILE_ERROR,
        RunStatus.FORBIDDEN,
    )
}
_SIGKILL, _SIGXCPU, _SIGXFSZ, _SIGSYS = 9, 24, 25, 31
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV (stack overflow or bad memory)"}


class Ran(NamedTuple):
    """A run and the isolation it really had ("" if it never got that far)."""

    run: Run
    isolation: str


def run_program(
    code: str,
    input: str,  # noqa: A002 - the contract's word
    *,
    kind: Literal["stdin", "function"] = "stdin",
    entry_point: str | None = None,
    limits: Limits | None = None,
    stop: Event | None = None,
) -> Ran:
    """Run `code` on `input` in a fresh, locked-down process.

    `limits.time_s` is CPU time from the program's first statement on (starting the interpreter is not
    counted); the wall-clock backstop is twice that plus 2 s, not counting waits for a core.
    `limits.memory_mb` is address space beyond the bare interpreter's. `memory_mb` of the result is peak
    resident memory, 0 where it is not known (a memory limit, a crash, a closed report pipe).

    When `stop` is set, the run is killed and comes back as `infrastructure_error`. Raises nothing.
    """
    limits = limits or Limits()
    job = Job(
        code=code,
        kind=kind,
        entry_point=entry_point,
        input=input,
        time_s=limits.time_s,
        wall_s=2 * limits.time_s + 2,
        memory_bytes=limits.memory_mb * MEBIBYTE,
        output_bytes=limits.output_kb * KIBIBYTE,
    )
    try:
        ended = run_child(job, stop)
    except OSError as error:
        return Ran(Run(status=RunStatus.INFRASTRUCTURE_ERROR, error=f"cannot start a run: {error}"), "")
    return Ran(to_run(job, ended), str(ended.ready.get("ready", "")))


def to_run(job: Job, ended: Ended) -> Run:
    """Name how the child ended, from facts alone."""
    status, error = _status(job, ended)
    output = _output(job, ended)
    said = ended.end.get("memory_mb")
    return Run(
        status=status,
        # A whole output is only worth sending if it can be judged.
        output=output if status is RunStatus.OK else output[:OUTPUT_KEPT_CHARS],
        error=error,
        cpu_s=round(ended.cpu_s, 4),
        wall_s=round(ended.wall_s, 4),
        memory_mb=round(max(said, 0.0) if isinstance(said, float) else ended.memory_mb, 2),
    )


def _output(job: Job, ended: Ended) -> str:
    data = ended.stdout if job.kind == "stdin" else ended.value or b""
    return data.decode("utf-8", "replace")


def _status(job: Job, ended: Ended) -> tuple[RunStatus, str]:
    if ended.killed == "stopped":
        return RunStatus.INFRASTRUCTURE_ERROR, "stopped by the executor"
    if "ready" not in ended.ready:
        return RunStatus.INFRASTRUCTURE_ERROR, f"the program was not started: {_why_not(ended)}"
    if ended.killed == "output":
        return RunStatus.OUTPUT_LIMIT, f"more than {job.output_bytes // KIBIBYTE} kB of output"
    if ended.killed == "cpu" or ended.cpu_s > job.time_s or -ended.returncode == _SIGXCPU:
        return RunStatus.TIME_LIMIT, f"used {ended.cpu_s:.2f} s of CPU, limit {job.time_s:g} s"
    if ended.killed == "wall":
        return RunStatus.TIME_LIMIT, f"still running after {job.wall_s:g} s of wall time"
    said = _OWN_WORD.get(str(ended.end.get("status")))
    if said is not None:
        return said, str(ended.end.get("error", ""))
    if ended.returncode < 0:
        return _by_signal(-ended.returncode)
    if ended.returncode > 0:
        return RunStatus.RUNTIME_ERROR, _last_line(ended.stderr) or f"exit status {ended.returncode}"
    if job.kind == "function" and ended.value is None:
        return RunStatus.RUNTIME_ERROR, "the process exited before the function returned"
    return RunStatus.OK, ""


def _by_signal(number: int) -> tuple[RunStatus, str]:
    if number == _SIGSYS:
        return RunStatus.FORBIDDEN, "made a system call of a foreign architecture"
    if number == _SIGXFSZ:
        return RunStatus.OUTPUT_LIMIT, "wrote too large a file"
    if number == _SIGKILL:
        # The program cannot send itself this one (lockdown.py), and we did not.
        return RunStatus.INFRASTRUCTURE_ERROR, "killed from outside: is the machine out of memory?"
    return RunStatus.RUNTIME_ERROR, f"killed by {_SIGNALS.get(number, f'signal {number}')}"


def _why_not(ended: Ended) -> str:
    if "failed" in ended.ready:
        return str(ended.ready["failed"])
    if ended.killed == "wall":
        return "the interpreter did not come up in time"
    return _last_line(ended.stderr) or f"exit status {ended.returncode}"


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:500] if lines else ""
