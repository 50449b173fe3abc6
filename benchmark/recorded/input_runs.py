"""The second half of a deep pool: every program of a run on generated inputs, run and not judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.contracts import Problem
from atlas.errors import BadInput
from atlas.executor import ExecuteRequest, Executor, Run, outputs_that_fit
from atlas.mutations import mutations
from benchmark.grades import Program
from benchmark.recorded.completions import sha256
from benchmark.recorded.executions import (
    EXECUTIONS,
    INPUTS,
    OUTPUT_KEPT_CHARS,
    GeneratedInput,
    GeneratedRun,
    how_to_run,
)
from benchmark.recorded.row_file import RowFile, read_rows

FROM_FILE, MUTATION = "file", "mutation"


@dataclass(frozen=True)
class Work:
    """One program and the inputs of its task that it has not been run on yet."""

    program: Program
    code: str
    problem: Problem
    inputs: tuple[GeneratedInput, ...]


def make_inputs(
    directory: Path, problems: Mapping[str, Problem], n: int, seed: int, given: Mapping[str, Sequence[str]]
) -> dict[str, list[GeneratedInput]]:
    """Return each task's inputs: those in `inputs.jsonl` already, the `given` ones, `n` of each source.

    New ones are in the file when this returns.

    Raises:
        InfrastructureError: the file cannot be read or written.
    """
    found: dict[str, dict[str, GeneratedInput]] = {task: {} for task in problems}
    for row in read_rows(directory / INPUTS, GeneratedInput):
        found.setdefault(row.task, {})[row.sha256] = row
    new: list[GeneratedInput] = []
    for task, problem in problems.items():
        made = [(FROM_FILE, text) for text in given.get(task, ())]
        if problem.kind in ("stdin", "function"):
            made += [(MUTATION, text) for text in mutations(problem, n, seed)]
        for origin, text in made:
            row = GeneratedInput(task=task, sha256=sha256(text), origin=origin, text=text)
            if row.sha256 not in found[task]:
                found[task][row.sha256] = row
                new.append(row)
    with RowFile(directory / INPUTS) as file:
        file.add(new)
    return {task: list(rows.values()) for task, rows in found.items() if task in problems}


def left_to_run(
    directory: Path,
    programs: Mapping[Program, str],
    problems: Mapping[str, Problem],
    inputs: Mapping[str, Sequence[GeneratedInput]],
) -> list[Work]:
    """Return what `executions.jsonl` does not hold yet.

    Raises:
        InfrastructureError: the file cannot be read.
    """
    done = {
        (row.task, row.program_sha256, row.input_sha256)
        for row in read_rows(directory / EXECUTIONS, GeneratedRun)
    }
    work = []
    for program, code in programs.items():
        left = tuple(row for row in inputs.get(program.task, ()) if (*program, row.sha256) not in done)
        if left and _is_text(code):
            work.append(Work(program, code, problems[program.task], left))
    return work


async def run_all(
    directory: Path, work: Iterable[Work], executor: Executor, jobs: int, done: Callable[[Work], object]
) -> int:
    """Run each program on its inputs, `jobs` at a time; return the number of runs made.

    A program's runs are in `executions.jsonl` when `done` is told of it.

    Raises:
        ExecutorError: the executor refused, or has died.
        InfrastructureError: the file cannot be written.
    """
    waiting, made = iter(work), 0
    with RowFile(directory / EXECUTIONS) as file:

        async def serve() -> None:
            nonlocal made
            for each in waiting:
                rows = await _run(executor, each)
                file.add(rows)
                made += len(rows)
                done(each)

        workers = [asyncio.ensure_future(serve()) for _ in range(jobs)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return made


async def _run(executor: Executor, work: Work) -> list[GeneratedRun]:
    how, rows = how_to_run(work.problem), list[GeneratedRun]()
    most = outputs_that_fit(how.limits)
    for first in range(0, len(work.inputs), most):
        inputs = work.inputs[first : first + most]
        request = ExecuteRequest(
            code=work.code,
            kind=how.kind,
            entry_point=how.entry_point,
            limits=how.limits,
            inputs=tuple(row.text for row in inputs),
        )
        answer = await executor.execute(request)
        rows += [
            _row(work.program, each.sha256, run, answer.isolation)
            for each, run in zip(inputs, answer.runs, strict=True)
        ]
    return rows


def _row(program: Program, input_sha256: str, run: Run, isolation: str) -> GeneratedRun:
    return GeneratedRun(
        task=program.task,
        program_sha256=program.sha256,
        input_sha256=input_sha256,
        output_sha256=sha256(run.output),
        isolation=isolation,
        run=run.model_copy(update={"output": run.output[:OUTPUT_KEPT_CHARS]}),
    )


def read_given(path: Path, tasks: Iterable[str]) -> dict[str, list[str]]:
    """Read inputs of one's own: JSON lines with `task` and `input`.

    Raises:
        BadInput: the file cannot be read, or a line is not one of a known task; names it.
    """
    known, found = set(tasks), dict[str, list[str]]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            task, text = row["task"], row["input"]
        except (ValueError, LookupError, TypeError) as error:
            raise BadInput(f'{path}: line {number} is not {{"task": ..., "input": ...}}') from error
        if task not in known or not isinstance(text, str):
            raise BadInput(f"{path}: line {number}: no text for a task that is measured ({task!r})")
        found.setdefault(task, []).append(text)
    return found


def _is_text(code: str) -> bool:
    try:
        code.encode()
    except UnicodeEncodeError:
        return False
    return True
