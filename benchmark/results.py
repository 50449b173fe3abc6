"""Reads what runs have left on disk, for whatever compares or shows them. Nothing here writes.

A run directory (`benchmark.run_store`) may be read while its runner works on it: every file in it is whole at
any moment. What a run does not hold (a journal, a program, a difficulty) reads as absent, never as 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from atlas.contracts import Contract
from atlas.errors import BadInput, InfrastructureError
from atlas.events import Entry, Pins
from atlas.evidence import Basis
from atlas.policy import Part, Policy, missing
from benchmark.datasets.source import Source
from benchmark.run_store import Cause, Configuration, Outcome, RunFile, TaskRecord, file_name
from benchmark.statistics import Replicate, Submission
from benchmark.stored import complaint, read
from benchmark.tasks import Task

Stored = TypeVar("Stored", bound=Contract)


class TaskResult(Contract):
    """One task of one run.

    `outcome` is that of the one submission; an `error` is no result and belongs in no rate. Tokens are those
    of the attempt that counts: `tokens_out` all that the model generated in it, `tokens_in` all prompts, of
    which `tokens_cached` came from the server's cache; `tokens_late` came after the end and are in none of
    them; `tokens_error` (in and out) went into attempts that ended in `error`. `seconds` runs from submission
    to decision, grading not included; `model_s` and `executor_s` are parts of it. `watched` is false where a
    resume found the task done or under way, so that `seconds` may hold time in which nobody worked.
    `public_passed` of `public_total` public examples passed by the program handed in, None where none ended
    the task or nothing was said. `confidence`: the stack's own probability that the program is right, or
    would have been where it `abstained` (no program, and not passed). `program_sha256`: of its UTF-8, None
    where there is no program.
    """

    task: str
    outcome: Outcome
    cause: Cause | None
    error: str | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_late: int
    tokens_error: int
    seconds: float
    model_s: float
    executor_s: float
    watched: bool
    started_at: float
    finished_at: float
    candidate: str | None
    candidates: int | None
    survivors: int | None
    basis: Basis | None
    public_passed: int | None
    public_total: int | None
    mean_logprob: float | None
    confidence: float | None = None
    abstained: bool = False
    program: str | None
    program_sha256: str | None
    journal: Path | None
    difficulty: str = ""
    platform: str = ""
    date: str = ""

    @property
    def passed(self) -> bool:
        """Whether the submission is right. An error is not."""
        return self.outcome == "passed"

    @property
    def month(self) -> str:
        """YYYY-MM of the task's publication, "" where unknown."""
        return self.date[:7]


class RunResults(Contract):
    """A run: what was asked for, what it ran on, and its tasks in the order of their ids.

    `sources` are the files that the tasks were read from, `excluded` tasks that cannot be graded, by id, and
    why. `pins` and the model are None while no task has been submitted. `tasks` has fewer entries than
    `configuration.tasks` where the run is not finished.
    """

    directory: Path
    run_id: str
    created_at: str
    configuration: Configuration
    configuration_sha256: str
    sources: tuple[Source, ...]
    excluded: dict[str, str]
    policy: Policy
    pins: Pins | None
    tasks: tuple[TaskResult, ...]

    @property
    def condition(self) -> str:
        """The policy's name, as it was asked for."""
        return self.configuration.condition

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.configuration.seed

    @property
    def model(self) -> str | None:
        """The model's name."""
        return self.pins.model if self.pins else None

    @property
    def missing(self) -> tuple[Part, ...]:
        """Parts of the policy that this run went without."""
        if self.pins is None:
            return missing(self.policy)
        return missing(self.policy, self.pins.lens_weights, thinks=self.pins.thinks)

    @property
    def graded(self) -> tuple[TaskResult, ...]:
        """The tasks with a result: passed or failed."""
        return tuple(task for task in self.tasks if task.outcome != "error")

    @property
    def n(self) -> int:
        """How many tasks have a result."""
        return len(self.graded)

    @property
    def passed(self) -> int:
        """How many tasks passed."""
        return sum(task.passed for task in self.tasks)

    @property
    def errors(self) -> int:
        """How many tasks ended in `error`, for now."""
        return len(self.tasks) - self.n

    @property
    def seconds(self) -> float:
        """Time during which at least one of the tasks was being worked on, grading included."""
        total, end = 0.0, float("-inf")
        for start, stop in sorted((task.started_at, task.finished_at) for task in self.tasks):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return total

    @property
    def replicate(self) -> Replicate:
        """The run as `benchmark.statistics` takes it: tasks with a result, and the tokens each took."""
        results = {task.task: Submission(task.passed, task.tokens_out) for task in self.graded}
        return Replicate(results, self.model or "", self.seed)


def load_runs(paths: Sequence[Path]) -> list[RunResults]:
    """Read runs: of each path the run it is, or all runs of the ablation it is, in the order of their names.

    A run given twice (or by itself and with its ablation) is read once.

    Raises:
        BadInput: a path is no run directory and holds none.
        InfrastructureError: a file cannot be read, or is not of this version.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(run.resolve() for run in run_directories(path)))
    return [load_run(path) for path in found]


def run_directories(path: Path) -> list[Path]:
    """The directory itself if it is a run's, else the runs in its `runs/`, by name.

    Raises:
        BadInput: there is none.
    """
    if (path / "config.json").is_file():
        return [path]
    runs = sorted(each.parent for each in path.glob("runs/*/config.json"))
    if runs:
        return runs
    if not path.is_dir():
        raise BadInput(f"{path}: there is no such directory; give a run's, or an ablation's")
    inside = sorted(each.parent.name for each in path.glob("*/config.json"))
    more = f"; it holds runs, give one of them: {', '.join(inside[:5])}" if inside else ""
    raise BadInput(
        f"{path}: holds neither a run (config.json) nor an ablation's runs (runs/*/config.json){more}"
    )


def digests(runs: Sequence[Path], *, grades: bool) -> dict[str, str]:
    """Return the hash of all that each run's journals say, and its grades if they count.

    By the name of the directory; by its path where another has the same name.

    Raises:
        OSError: a file cannot be read.
    """
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run): _digest(run, grades) for run in runs}


def _digest(run: Path, grades: bool) -> str:
    found = hashlib.sha256()
    paths = sorted((run / "journals").rglob("*.jsonl"))
    for path in [*paths, run / "grades.jsonl"] if grades else paths:
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def load_run(directory: Path) -> RunResults:
    """Read one run directory.

    Raises:
        BadInput: it is none.
        InfrastructureError: a file cannot be read, or is not of this version.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise BadInput(f"{directory}: is not a run directory (it has no config.json)")
    file = _run_file(path)
    records = [read(TaskRecord, each) for each in (directory / "tasks").glob("*.json")]
    return RunResults(
        directory=directory,
        run_id=file.run_id,
        created_at=file.created_at,
        configuration=file.configuration,
        configuration_sha256=file.configuration_sha256,
        sources=file.sources,
        excluded=file.excluded,
        policy=file.policy,
        pins=file.pins,
        tasks=tuple(_result(directory, record) for record in sorted(records, key=lambda each: each.task)),
    )


def load_record(run: RunResults, task: str) -> TaskRecord:
    """Read all that a run noted of one task.

    Raises:
        BadInput: the run has no such task (yet).
        InfrastructureError: its record cannot be read.
    """
    path = run.directory / "tasks" / f"{file_name(task)}.json"
    if not path.is_file():
        raise BadInput(f"run '{run.run_id}' has no record of a task '{task}'")
    return read(TaskRecord, path)


def load_journal(result: TaskResult) -> list[Entry]:
    """Read a task's journal; empty where the run kept none.

    Raises:
        InfrastructureError: it cannot be read, naming the line.
    """
    if result.journal is None:
        return []
    entries: list[Entry] = []
    try:
        entries.extend(map(Entry.model_validate_json, result.journal.read_bytes().splitlines()))
    except OSError as error:
        raise InfrastructureError(f"cannot read {result.journal}: {error.strerror}") from error
    except ValidationError as error:
        where = f"{result.journal}: line {len(entries) + 1}"
        raise InfrastructureError(
            f"{where} is no journal entry of this version ({complaint(error)})"
        ) from error
    return entries


def described(run: RunResults, tasks: Iterable[Task]) -> RunResults:
    """Return the run with difficulty, platform and date from the data set, where it noted none itself."""
    by_id: Mapping[str, Task] = {task.id: task for task in tasks}
    return run.model_copy(update={"tasks": tuple(_described(each, by_id) for each in run.tasks)})


def _run_file(path: Path) -> RunFile:
    """Read `config.json`. Earlier runs say the `limit` apart, which the data set's label now does."""
    try:
        content = json.loads(path.read_bytes())
        earlier = content["configuration"].pop("limit", None)
        if earlier is not None:
            content["configuration"]["dataset"] += f", first {earlier}"
        return RunFile.model_validate_json(json.dumps(content))
    except OSError as error:
        raise InfrastructureError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise InfrastructureError(f"{path} is not a RunFile of this version ({complaint(error)})") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InfrastructureError(f"{path} is no run's configuration") from error


def _described(result: TaskResult, tasks: Mapping[str, Task]) -> TaskResult:
    task = tasks.get(result.task)
    if task is None:
        return result
    return result.model_copy(
        update={
            "difficulty": result.difficulty or task.difficulty,
            "platform": result.platform or task.platform,
            "date": result.date or (task.date.isoformat() if task.date else ""),
        }
    )


def _result(directory: Path, record: TaskRecord) -> TaskResult:
    view = record.view
    evidence = view.evidence if view else None
    program = view.program if view else None
    journal = directory / record.journal if record.journal else None
    in_vain = [attempt.usage for attempt in record.earlier]
    if view and record.outcome == "error":
        in_vain.append(view.usage)
    return TaskResult(
        task=record.task,
        outcome=record.outcome,
        cause=record.cause,
        error=record.error,
        tokens_in=view.usage.tokens_in if view else 0,
        tokens_out=view.usage.tokens_out if view else 0,
        tokens_cached=view.usage.tokens_cached if view else 0,
        tokens_late=view.late_tokens if view else 0,
        tokens_error=sum(usage.tokens_in + usage.tokens_out for usage in in_vain),
        seconds=view.seconds if view else 0.0,
        model_s=view.model_s if view else 0.0,
        executor_s=view.executor_s if view else 0.0,
        watched=record.watched,
        started_at=record.started_at,
        finished_at=record.finished_at,
        candidate=view.candidate if view else None,
        candidates=evidence.candidates if evidence else None,
        survivors=evidence.survivors if evidence else None,
        basis=evidence.basis if evidence else None,
        public_passed=evidence.public_passed if evidence else None,
        public_total=evidence.public_total if evidence else None,
        mean_logprob=evidence.mean_logprob if evidence else None,
        confidence=evidence.confidence if evidence else None,
        abstained=view is not None and view.status == "abstained",
        program=program,
        program_sha256=program_sha256(program) if program is not None else None,
        journal=journal if journal and journal.is_file() else None,
        difficulty=record.meta.difficulty,
        platform=record.meta.platform,
        date=record.meta.date,
    )


def program_sha256(program: str) -> str:
    """Hash a program's text; half of a surrogate pair, which UTF-8 cannot carry, is hashed as it stands."""
    return hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()
