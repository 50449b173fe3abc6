"""The directory of one run: what was asked, and one JSON file per task. Any kill leaves it whole.

    config.json             configuration, policy and pins with their hash: what a resume must match
    tasks/{task}.json       a `TaskRecord`; the file exists once the task has an outcome
    journals/{task}.jsonl   the task's journal, which can be replayed
    result.json             the report of the last complete pass

Files are written beside their place, synced and renamed; a task's record comes last and makes it done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import Field

from atlas.api import TaskView
from atlas.checkers import Checker
from atlas.contracts import Contract, Usage, Verdict
from atlas.errors import Conflict, InfrastructureError
from atlas.events import Pins
from atlas.policy import Policy
from benchmark.datasets.source import Source
from benchmark.stored import lock, read, write_atomic
from benchmark.tasks import Task

Outcome = Literal["passed", "failed", "error"]
Cause = Literal["gateway", "task", "grader"]
# Fields a Problem was given after the first runs: left out of the hash where empty, so that theirs stand.
LATER_FIELDS = ("choices", "steps", "examples_in_statement")
FILE_NAME_CHARS = 150  # of 255, because `.json.tmp` and others are added
Stored = TypeVar("Stored", bound=Contract)


class Configuration(Contract):
    """What the caller decides of a run's outcome. Concurrency and target are not: they only move it."""

    dataset: str
    dataset_sha256: str
    tasks: int
    condition: str
    seed: int
    grader: Checker


class RunFile(Contract):
    """`config.json`. `pins` are known when the first task has been submitted.

    `sources` are the files the tasks were read from, `excluded` those that cannot be graded, by id, and why.
    """

    version: Literal[1] = 1
    run_id: str
    created_at: str
    configuration: Configuration
    sources: tuple[Source, ...] = ()
    excluded: dict[str, str] = Field(default_factory=dict)
    policy: Policy
    pins: Pins | None = None
    configuration_sha256: str


class GradeSummary(Contract):
    """A grade without any input or output. `verdicts` ends at the first test that was not accepted.

    `seconds` (wall) and `cpu_s` are sums over the runs, `memory_mb` is the largest peak among them. A task of
    several `parts` (SciCode's steps) passes when all `parts_passed`.
    """

    checker: Checker
    passed: bool | None
    tests: int
    verdicts: tuple[Verdict, ...]
    isolation: str
    seconds: float
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    parts: int = 0
    parts_passed: int = 0
    note: str = ""


class EarlierAttempt(Contract):
    """An attempt that ended in `error` and was followed by another."""

    attempt: int
    error: str
    usage: Usage = Usage()


class TaskMeta(Contract):
    """What the data say of a task, "" where they do not; `date` as YYYY-MM-DD."""

    platform: str = ""
    difficulty: str = ""
    date: str = ""


class TaskRecord(Contract):
    """What became of one task in this run.

    `error` outcomes say why in `error` and where in `cause`; they are no results, and a resume tries again.
    `watched`: this runner saw the task from its submission to its end, so that the task's own clock holds no
    time in which nobody worked. Times are seconds since 1970.
    """

    task: str
    meta: TaskMeta = TaskMeta()
    outcome: Outcome
    attempt: int = Field(ge=1)
    error: str | None = None
    cause: Cause | None = None
    grade: GradeSummary | None = None
    view: TaskView | None = None
    journal: str | None = Field(default=None, description="relative to the run directory")
    watched: bool = False
    started_at: float
    finished_at: float
    earlier: tuple[EarlierAttempt, ...] = ()

    @property
    def next_attempt(self) -> int:
        """Number of the attempt a resume makes: after a failed grading, of the same task's program again."""
        return self.attempt if self.cause == "grader" else self.attempt + 1


class RunStore:
    """One run's directory, held by one runner at a time. Use `with RunStore(...) as store`.

    `run_id`: the run's name, unique at the gateway (its tasks' idempotency keys begin with it); without one
    that of the directory. `sources` and `excluded` are noted in `config.json`.
    """

    def __init__(
        self,
        directory: Path,
        configuration: Configuration,
        sources: tuple[Source, ...] = (),
        excluded: Mapping[str, str] = MappingProxyType({}),
        run_id: str | None = None,
    ) -> None:
        self.directory = directory
        self.run_id = run_id or directory.name
        self.configuration = configuration
        self._sources = sources
        self._excluded = dict(excluded)
        self._file: RunFile | None = None
        self._records: dict[str, TaskRecord] = {}
        self._lock: int | None = None

    def __enter__(self) -> RunStore:
        """Take the lock and read what there is. A new run's files appear with `bind_policy`.

        Raises:
            Conflict: another runner works on it, or the run was made with another configuration.
            InfrastructureError: the directory cannot be used.
        """
        busy = f"another runner works on run '{self.directory.name}' ({self.directory})"
        self._lock = lock(self.directory, busy, "choose another --runs-dir")
        try:
            self._read()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    @property
    def policy(self) -> Policy | None:
        """The policy this run measures, once known."""
        return self._file.policy if self._file else None

    @property
    def pins(self) -> Pins | None:
        """The model and the versions this run measures, once known."""
        return self._file.pins if self._file else None

    @property
    def records(self) -> Mapping[str, TaskRecord]:
        """Outcomes so far, by task id."""
        return self._records

    def unfinished(self, tasks: Iterable[Task]) -> list[Task]:
        """Return the tasks without a result: never done, or ended in `error`."""
        done = {task for task, record in self._records.items() if record.outcome != "error"}
        return [task for task in tasks if task.id not in done]

    def bind_policy(self, policy: Policy) -> None:
        """Begin the run with this policy, or see that it is the one it began with.

        Raises:
            Conflict: it is another.
        """
        if self._file is None:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            file = RunFile(
                run_id=self.run_id,
                created_at=now,
                configuration=self.configuration,
                sources=self._sources,
                excluded=self._excluded,
                policy=policy,
                configuration_sha256="",
            )
            self._write_file(file)
        else:
            self._same("policy.", self._file.policy, policy)

    def bind_pins(self, pins: Pins) -> None:
        """Note what the stack pinned a task to, or see that it is what it was for the run's first task.

        Raises:
            Conflict: it is not.
        """
        if self._file is None:
            raise RuntimeError("bind_policy comes first")
        if self._file.pins is None:
            self._write_file(self._file.model_copy(update={"pins": pins}))
        else:
            self._same("", self._file.pins, pins)

    def save(self, record: TaskRecord) -> None:
        """Write a task's record; from here on it has this outcome."""
        self._write("tasks", f"{file_name(record.task)}.json", record.model_dump_json(indent=1) + "\n")
        self._records[record.task] = record

    def save_journal(self, task: str, journal: str) -> str:
        """Write a task's journal and return its path in the run directory."""
        return self._write("journals", f"{file_name(task)}.jsonl", journal)

    def save_result(self, result: str) -> None:
        """Write the report."""
        self._write("", "result.json", result + "\n")

    def _read(self) -> None:
        path = self.directory / "config.json"
        if not path.exists():
            return
        self._file = read(RunFile, path, "use a new --run-id")
        self._same("", self._file.configuration, self.configuration)
        for each in sorted((self.directory / "tasks").glob("*.json")):
            record = read(TaskRecord, each, "use a new --run-id")
            self._records[record.task] = record

    def _same(self, prefix: str, then: Contract | Policy, now: Contract | Policy) -> None:
        differ = differences(then.model_dump(mode="json"), now.model_dump(mode="json"), prefix)
        if differ:
            raise Conflict(
                f"run '{self.run_id}' was made with another configuration: {'; '.join(differ)}. "
                "Go on with the same options and stack, or begin another run with a new --run-id"
            )

    def _write_file(self, file: RunFile) -> None:
        content = file.model_dump(mode="json", include={"configuration", "policy", "pins"})
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        self._file = file.model_copy(update={"configuration_sha256": digest})
        self._write("", "config.json", self._file.model_dump_json(indent=1) + "\n")

    def _write(self, folder: str, name: str, text: str) -> str:
        path = self.directory / folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, text)
        except OSError as error:
            raise InfrastructureError(f"cannot write {path}: {error.strerror}") from error
        return str(path.relative_to(self.directory))

    def _release(self) -> None:
        if self._lock is None:
            return
        if self._file is None:  # nothing began: leave no trace
            (self.directory / ".lock").unlink(missing_ok=True)
            if not any(self.directory.iterdir()):
                self.directory.rmdir()
        os.close(self._lock)
        self._lock = None


def file_name(task: str) -> str:
    """Return a file name for a task id: itself where possible, and never another task's."""
    name = quote(task, safe=" ")
    if len(name) <= FILE_NAME_CHARS and not name.startswith("."):
        return name
    return f"{name[:80].lstrip('.')}~{hashlib.sha256(task.encode()).hexdigest()[:16]}"


def content_sha256(tasks: Iterable[Task]) -> str:
    """Hash what was asked and what it is graded on, in order."""
    digest = hashlib.sha256()
    for task in tasks:
        unused = {name for name in LATER_FIELDS if not getattr(task.problem, name)}
        parts = [task.id, task.problem.model_dump_json(exclude=unused)]
        parts += [text for test in task.grading_tests for text in (test.input, test.output)]
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()


def differences(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name each key whose values differ, with both."""
    keys = list(then) + [key for key in now if key not in then]
    return [
        f"{prefix}{key} was {then.get(key)!r}, is {now.get(key)!r}"
        for key in keys
        if then.get(key) != now.get(key)
    ]
