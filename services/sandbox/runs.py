"""The name of how a run ended, from facts alone."""

from __future__ import annotations

from atlas.contracts import OUTPUT_KEPT_CHARS
from atlas.executor import Run, RunStatus
from services.sandbox.slot import Ended, Job

KIBIBYTE = 1 << 10
# A run that met the wall clock after waiting this share of it for a core was disturbed, not slow.
DISTURBED_SHARE = 0.2

# What a run may say about itself once its program has started. `infrastructure_error` is not among them.
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


def to_run(job: Job, ended: Ended) -> Run:
    """The run as the executor's clients see it."""
    status, error = _status(job, ended)
    output = ended.output.decode("utf-8", "replace")
    return Run(
        status=status,
        # A whole output is only worth sending if it can be judged.
        output=output if status is RunStatus.OK else output[:OUTPUT_KEPT_CHARS],
        error=error,
        cpu_s=round(ended.cpu_s, 4),
        wall_s=round(ended.wall_s, 4),
        memory_mb=round(ended.memory_mb, 2),
    )


def disturbed(job: Job, ended: Ended, stolen_share: float) -> bool:
    """True if a time limit may be the host's doing.

    Args:
        job: what was run.
        ended: how it ended.
        stolen_share: part of the machine's time that its hypervisor took meanwhile, 0 to 1.
    """
    late = ended.killed in ("cpu", "wall") or ended.cpu_s > job.time_s
    starved = ended.killed == "wall" and ended.waited_s >= DISTURBED_SHARE * job.wall_s
    return starved or (late and stolen_share >= DISTURBED_SHARE)


def _status(job: Job, ended: Ended) -> tuple[RunStatus, str]:
    if ended.killed == "stopped":
        return RunStatus.INFRASTRUCTURE_ERROR, "stopped by the executor"
    if "ready" not in ended.start:
        return RunStatus.INFRASTRUCTURE_ERROR, f"the program was not started: {_why_not(ended)}"
    if len(ended.output) > job.output_bytes:
        return RunStatus.OUTPUT_LIMIT, f"more than {job.output_bytes // KIBIBYTE} kB of output"
    if ended.killed == "oom":
        return RunStatus.MEMORY_LIMIT, "killed by the kernel: out of memory"
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
    return _well_ended(job, ended)


def _well_ended(job: Job, ended: Ended) -> tuple[RunStatus, str]:
    if job.kind == "stdin":
        return RunStatus.OK, ""
    if ended.end.get("status") != "ok":
        return RunStatus.RUNTIME_ERROR, "the process exited before the function returned"
    return RunStatus.OK, "" if ended.output else str(ended.end.get("error", "")) or "there is no value"


def _by_signal(number: int) -> tuple[RunStatus, str]:
    if number == _SIGSYS:
        return RunStatus.FORBIDDEN, "made a system call of a foreign architecture"
    if number == _SIGXFSZ:
        return RunStatus.OUTPUT_LIMIT, "wrote too large a file"
    if number == _SIGKILL:
        # The program cannot send itself this one (forkserver/seccomp.py), and we did not.
        return RunStatus.INFRASTRUCTURE_ERROR, "killed from outside: is the machine out of memory?"
    return RunStatus.RUNTIME_ERROR, f"killed by {_SIGNALS.get(number, f'signal {number}')}"


def _why_not(ended: Ended) -> str:
    if "failed" in ended.start:
        return str(ended.start["failed"])
    if ended.killed:
        return "it did not come up in time"
    return _last_line(ended.stderr) or f"exit status {ended.returncode}"


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:500] if lines else ""
