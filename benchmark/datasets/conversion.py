"""Turns tasks whose tests are Python code into function-kind rows: inputs recorded, outputs by the reference.

1. The data's own test code runs in the sandbox against the data's own reference solution; every call's
   arguments are recorded as JSON (`recording`).
2. The reference is then run on those arguments exactly as a submitted program will be, and what it returns is
   the expected output. So a task can only be kept if a right program passes.

A task is left out, by name and with the reason, where its test code accepts several answers, JSON has no word
for an argument or a value, its reference fails, or answers differently once tuples have become lists.
Conversion depends on the file, this code and the Python that runs it, and is kept under a hash of all three.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field
from rich.console import Console

from atlas.contracts import Contract, Limits
from atlas.errors import BadInput
from atlas.executor import MAX_INPUTS, ExecuteRequest, Executor, RunStatus
from benchmark.datasets import answers, recording
from benchmark.datasets.reference_runs import with_executor
from benchmark.datasets.source import Opened, Source, open_rows, sha256_of

RECORDING_LIMITS = Limits(time_s=30, memory_mb=2048, output_kb=16_384)
AT_ONCE = 2
LONGEST_INT = 4_000  # digits; Python refuses to read more than 4300


@dataclass(frozen=True)
class CodeTask:
    """A task as its data set has it, ready to be converted.

    Attributes:
        reference: a whole program with the function `entry_point`.
        checks: sources of test code that call the function; in the order of the data.
        called: the names that the function has in `checks`, beside `entry_point`.
        inputs: argument lists that the data gives as such.
        public: argument lists of the examples in the statement, with the value each says, as JSON.
        many_answers: the data set's own grader is known to accept several answers.
    """

    id: str
    platform: str
    title: str
    statement: str
    starter: str
    entry_point: str
    reference: str
    checks: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    inputs: tuple[tuple[object, ...], ...] = ()
    public: tuple[tuple[str, str], ...] = ()
    many_answers: bool = False
    limits: Limits = field(default_factory=Limits)


class Excluded(Exception):
    """A task that cannot be converted; the message says why. Never leaves this module."""


class _Call(Contract):
    arguments: list[object]
    value: object
    carried: bool


class _Recording(Contract):
    calls: tuple[_Call, ...]
    problem: str


class Converted(Contract):
    """What became of a file: rows in LiveCodeBench's normalised form, and the tasks left out, with why."""

    rows: tuple[dict[str, object], ...] = Field(min_length=1)
    excluded: dict[str, str]


def open_converted(
    name: str,
    path: Path,
    tasks: Sequence[CodeTask],
    data_dir: Path,
    commit: str | None,
    count: int | None = None,
) -> Opened:
    """Tasks of the file at `path` as rows; what is told of the source is the file itself, not the rows.

    Args:
        name: the data set.
        path: the file that was read.
        tasks: all of its tasks.
        data_dir: where conversions are kept.
        commit: the commit it was downloaded at.
        count: the file's rows, where not all are tasks of this data set.

    Raises:
        BadInput: no task can be converted.
        StartupError: no executor can be started.
        ExecutorError: the executor failed.
    """
    sha256 = sha256_of(path)
    rows, excluded = converted(f"{name} {sha256}", tasks, data_dir)
    opened = open_rows(name, [rows])
    source = Source(dataset=name, file=path.name, sha256=sha256, rows=count or len(tasks), revision=commit)
    return Opened((source,), opened.items, opened.decode, excluded)


def converted(source: str, tasks: Sequence[CodeTask], directory: Path) -> tuple[Path, dict[str, str]]:
    """The file of converted rows, made now or earlier, and the tasks left out of it.

    Args:
        source: names what `tasks` were read from: the data set, and the file's hash.
        tasks: all tasks of the source; converted only if they have not been before.
        directory: where conversions are kept.

    Raises:
        BadInput: no task can be converted.
        StartupError: no executor can be started to run the references.
        ExecutorError: the executor failed.
    """
    place = directory / "datasets" / "converted" / _key(source)
    rows, excluded = place.with_suffix(".jsonl"), place.with_suffix(".excluded.json")
    if not excluded.is_file():
        Console(stderr=True).print(
            f"running the reference programs of {len(tasks)} tasks, once, for the outputs they give",
            highlight=False,
        )
        made = with_executor(lambda executor: convert(tasks, executor))
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(rows, "".join(json.dumps(row) + "\n" for row in made.rows))
        _write(
            excluded, json.dumps(made.excluded, indent=1)
        )  # last: its being there says that both are whole
    reasons: dict[str, str] = json.loads(excluded.read_text(encoding="utf-8"))
    return rows, reasons


def _key(source: str) -> str:
    digest = hashlib.sha256(f"{source} {platform.python_version()}".encode())
    for name in ("answers", "conversion", "humaneval", "mbpp", "recording"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:32]


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


async def convert(tasks: Sequence[CodeTask], executor: Executor) -> Converted:
    """Convert all, a few at once, in their order.

    Raises:
        BadInput: none can be converted.
        ExecutorError: the executor failed: no task is left out for the machinery's faults.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(task: CodeTask) -> dict[str, object] | str:
        async with turns:
            try:
                return await _row(task, executor)
            except Excluded as e:
                return str(e)

    results = await asyncio.gather(*map(one, tasks))
    rows = tuple(r for r in results if not isinstance(r, str))
    excluded = {t.id: r for t, r in zip(tasks, results, strict=True) if isinstance(r, str)}
    if not rows:
        raise BadInput(f"none of the tasks can be graded here; the first: {next(iter(excluded.items()))}")
    return Converted(rows=rows, excluded=excluded)


async def _row(task: CodeTask, executor: Executor) -> dict[str, object]:
    try:
        one_answer = answers.accepts_one(task.checks, (task.entry_point, *task.called))
    except SyntaxError as e:
        raise Excluded("its tests are not Python") from e
    if task.many_answers or not one_answer:
        raise Excluded(answers.MANY_ANSWERS)
    recorded = await _recorded(task, executor)
    public = dict(task.public)
    inputs = list(dict.fromkeys([*public, *recorded, *map(_input, task.inputs)]))
    if not inputs:
        raise Excluded("its tests call nothing")
    outputs = dict(zip(inputs, await _outputs(task, inputs, executor), strict=True))
    for given, value in recorded.items():
        if not _same(outputs[given], value):
            raise Excluded("its reference answers differently when tuples come as lists, or at random")
    # An example that the reference contradicts is an error of the statement (HumanEval/47): no test of ours.
    examples = {given for given, said in public.items() if _same(outputs[given], _parsed(said))}
    hidden = [given for given in inputs if given not in public] or sorted(examples)
    if not hidden:
        raise Excluded("it has no test beside examples that its reference contradicts")

    def tests(some: Iterable[str]) -> list[dict[str, str]]:
        return [{"input": i, "output": outputs[i], "testtype": "functional"} for i in some]

    return {
        "question_id": task.id,
        "platform": task.platform,
        "title": task.title,
        "question_content": task.statement,
        "starter_code": task.starter,
        "difficulty": "",
        "contest_date": None,
        "public_tests": tests(given for given in public if given in examples),
        "private_tests": tests(hidden),
        "metadata": {"func_name": task.entry_point} | task.limits.model_dump(exclude_unset=True),
    }


async def _recorded(task: CodeTask, executor: Executor) -> dict[str, object]:
    """What the reference returned in the data's own tests, by input."""
    if not task.checks:
        return {}
    job = {"reference": task.reference, "checks": task.checks, "entry_point": task.entry_point}
    request = ExecuteRequest(code=recording.DRIVER, inputs=(json.dumps(job),), limits=RECORDING_LIMITS)
    (run,) = (await executor.execute(request)).runs
    if run.status is not RunStatus.OK:
        raise Excluded(f"its tests end in {run.status.value} against its reference")
    try:
        made = _Recording.model_validate(json.loads(run.output))
    except (ValueError, RecursionError) as e:  # a ValidationError is a ValueError
        raise Excluded("what its tests call cannot be written down") from e
    if made.problem:
        raise Excluded(made.problem)
    if not all(call.carried for call in made.calls):
        raise Excluded("it returns a value that JSON has no word for")
    return {_input(call.arguments): call.value for call in made.calls}


async def _outputs(task: CodeTask, inputs: Sequence[str], executor: Executor) -> list[str]:
    outputs: list[str] = []
    for start in range(0, len(inputs), MAX_INPUTS):
        request = ExecuteRequest(
            code=task.reference,
            kind="function",
            entry_point=task.entry_point,
            inputs=tuple(inputs[start : start + MAX_INPUTS]),
            limits=task.limits,
        )
        for run in (await executor.execute(request)).runs:
            if run.status is not RunStatus.OK:
                raise Excluded(f"its reference ends in {run.status.value}")
            if not run.output:
                raise Excluded("it returns a value that JSON has no word for")
            if not _same(run.output, _parsed(run.output)):
                raise Excluded("it returns NaN, which equals nothing")
            outputs.append(run.output)
    return outputs


def _same(output: str, value: object) -> bool:
    return bool(_parsed(output) == value)


def _parsed(text: str) -> object:
    """The JSON's value; integers too long for int() stay texts."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < LONGEST_INT else digits)


def _input(arguments: Sequence[object]) -> str:
    return "\n".join(map(json.dumps, arguments))
