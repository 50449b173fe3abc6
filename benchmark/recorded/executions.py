"""Runs of programs kept by content: the program, its input, and how it was run.

A journal keeps an output's first 4 kB and the hash of the whole: an output that was cut is not known, and its
run is not answered, unless the run failed (then nobody compares its output). A deep pool
(`benchmark.deep_pool`) keeps whole outputs of more inputs, in `executions.jsonl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from atlas.contracts import Contract, Problem, TestResult, Verdict
from atlas.executor import HowToRun, Run, RunStatus
from benchmark.recorded.completions import sha256
from benchmark.recorded.row_file import read_rows

Kind = Literal["stdin", "function"]
OUTPUT_KEPT_CHARS = 64_000
INPUTS, EXECUTIONS = "inputs.jsonl", "executions.jsonl"


class GeneratedInput(Contract):
    """A line of `inputs.jsonl`: an input of a task, and where it came from (`mutation`, `file`)."""

    task: str
    sha256: str
    origin: str
    text: str


class GeneratedRun(Contract):
    """A line of `executions.jsonl`: what a program made of an input. Nobody says whether that is right.

    Outputs are kept up to 64 thousand characters; the hash is the whole output's.
    """

    task: str
    program_sha256: str
    input_sha256: str
    output_sha256: str
    isolation: str
    run: Run

    @property
    def whole(self) -> bool:
        """Whether the output is all there, or the run failed, so that nobody compares it."""
        return self.run.status is not RunStatus.OK or sha256(self.run.output) == self.output_sha256


class ExecutionStore:
    """In memory. `isolation`: the level that the runs had, "" where none is there."""

    def __init__(self) -> None:
        self.isolation = ""
        self._runs: dict[tuple[str, str, str], Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, how: HowToRun, program_sha256: str, input_sha256: str) -> Run | None:
        """Return the run of a program on an input, if it is whole."""
        return self._runs.get((_told(how), program_sha256, input_sha256))

    def add(self, how: HowToRun, program_sha256: str, input_sha256: str, run: Run) -> None:
        """Keep a run; the first stays."""
        self._runs.setdefault((_told(how), program_sha256, input_sha256), run)


def how_to_run(problem: Problem) -> HowToRun:
    """Return how the judge asks for a problem's programs to be run."""
    kind: Kind = "function" if problem.kind == "function" else "stdin"
    return HowToRun(kind=kind, entry_point=problem.entry_point, limits=problem.limits)


def run_of(result: TestResult) -> Run | None:
    """Return the run that was judged so; None if the machinery spoiled it, or its output was cut."""
    if result.verdict is Verdict.INFRASTRUCTURE_ERROR:
        return None
    ok = result.verdict in (Verdict.ACCEPTED, Verdict.WRONG_ANSWER)
    if ok and sha256(result.output) != result.output_sha256:
        return None
    return Run(
        status=RunStatus.OK if ok else RunStatus(result.verdict.value),
        output=result.output,
        error=result.error,
        cpu_s=result.cpu_s,
        wall_s=result.wall_s,
        memory_mb=result.memory_mb,
    )


def read_executions(directory: Path, problems: Mapping[str, Problem], executions: ExecutionStore) -> None:
    """Add a deep pool's runs on generated inputs, if the directory has any, of the problems that are known.

    Raises:
        InfrastructureError: the file cannot be read, naming the line.
    """
    for row in read_rows(directory / EXECUTIONS, GeneratedRun):
        if row.task in problems and row.whole:
            how = how_to_run(problems[row.task])
            executions.add(how, row.program_sha256, row.input_sha256, row.run)


def _told(how: HowToRun) -> str:
    # Of the request's fields those of `HowToRun` alone.
    return HowToRun.model_validate(
        {name: getattr(how, name) for name in HowToRun.model_fields}
    ).model_dump_json()
