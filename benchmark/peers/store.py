"""The directory of one comparison: what was compared, and one JSON file per system and task.

    config.json                    what a resume must match, and what each system was
    records/{system}/{task}.json   a `PeerRecord`; the pair is done once the file exists
    journals/{system}/{task}.jsonl the journal of a task that ATLAS solved
    result.json                    the table of the last complete pass

Any kill leaves it whole: files are written beside their place, synced and renamed.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, JsonValue

from atlas.checkers import Checker
from atlas.contracts import Contract, Usage
from atlas.errors import Conflict, InfrastructureError
from atlas.events import Pins
from benchmark.peers.ledger import PeerCall
from benchmark.run_store import GradeSummary, Outcome, differences, file_name
from benchmark.stored import lock, read, write_atomic

Stored = TypeVar("Stored", bound=Contract)


class Comparison(Contract):
    """What every system was given. `seed` is that of every system's own sampling."""

    dataset: str
    dataset_sha256: str
    tasks: tuple[str, ...]
    token_budget: int = Field(ge=1)
    seed: int = Field(ge=0)
    grader: Checker


class ComparisonFile(Contract):
    """`config.json`. `systems`: what each was, by name; `model` and `pins` are known when it has begun."""

    version: int = 1
    created_at: str
    comparison: Comparison
    systems: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    model: str | None = None
    pins: Pins | None = None


class PeerRecord(Contract):
    """What became of one task with one system.

    `error` outcomes are no results: the machinery failed, and a resume tries again. `seconds` are the
    system's own, grading and start-up not included. `budget_spent`: it asked for more than it was given.
    `calls` are empty for ATLAS, which keeps a journal. Times are seconds since 1970.
    """

    system: str
    task: str
    outcome: Outcome
    attempt: int = Field(ge=1)
    usage: Usage
    seconds: float
    program: str | None
    note: str = ""
    budget_spent: bool = False
    grade: GradeSummary | None = None
    calls: tuple[PeerCall, ...] = ()
    journal: str | None = Field(default=None, description="relative to the directory")
    started_at: float
    finished_at: float


class PeerStore:
    """One comparison's directory, held by one command at a time. Use `with PeerStore(...) as store`."""

    def __init__(self, directory: Path, comparison: Comparison) -> None:
        self.directory = directory
        self._file = ComparisonFile(
            created_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            comparison=comparison,
        )
        self._records: dict[tuple[str, str], PeerRecord] = {}
        self._lock: int | None = None

    def __enter__(self) -> PeerStore:
        """Take the lock, and begin or go on.

        Raises:
            Conflict: another command works on it, or it was begun with another configuration.
            InfrastructureError: the directory cannot be used.
        """
        self._lock = lock(self.directory, f"another command works on {self.directory}")
        try:
            if (self.directory / "config.json").exists():
                then = read_file(self.directory)
                self._same("", then.comparison, self._file.comparison)
                self._file = then
                self._records = {(r.system, r.task): r for r in read_records(self.directory)}
            else:
                self._write_file(self._file)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def file(self) -> ComparisonFile:
        """What is being compared."""
        return self._file

    @property
    def records(self) -> Mapping[tuple[str, str], PeerRecord]:
        """What there is so far, by system and task."""
        return self._records

    def bind_system(self, name: str, what: dict[str, JsonValue]) -> None:
        """Add a system, or see that it is what it was.

        Raises:
            Conflict: it is not.
        """
        then = self._file.systems.get(name)
        if then is None:
            self._write_file(self._file.model_copy(update={"systems": self._file.systems | {name: what}}))
        else:
            self._same(f"{name}.", then, what)

    def bind_model(self, model: str) -> None:
        """Note the model served, or see that it is what it was.

        Raises:
            Conflict: it is not.
        """
        if self._file.model is None:
            self._write_file(self._file.model_copy(update={"model": model}))
        else:
            self._same("", {"model": self._file.model}, {"model": model})

    def bind_pins(self, pins: Pins) -> None:
        """Note what ATLAS pinned its first task to, or see that it is what it was.

        Raises:
            Conflict: it is not.
        """
        if self._file.pins is None:
            self._write_file(self._file.model_copy(update={"pins": pins}))
        else:
            self._same("", self._file.pins, pins)

    def attempt(self, system: str, task: str) -> int | None:
        """Return the number of the attempt to make; None if there is a result."""
        record = self._records.get((system, task))
        if record is None:
            return 1
        return record.attempt + 1 if record.outcome == "error" else None

    def save(self, record: PeerRecord) -> None:
        """Write a record; from here on the pair has this outcome."""
        name = f"{file_name(record.task)}.json"
        self._write(f"records/{record.system}", name, record.model_dump_json(indent=1) + "\n")
        self._records[record.system, record.task] = record

    def save_journal(self, system: str, task: str, journal: str) -> str:
        """Write a journal and return its path in the directory."""
        return self._write(f"journals/{system}", f"{file_name(task)}.jsonl", journal)

    def save_result(self, result: str) -> None:
        """Write the table."""
        self._write("", "result.json", result + "\n")

    def _same(self, prefix: str, then: Contract | dict[str, Any], now: Contract | dict[str, Any]) -> None:
        before, after = (x.model_dump(mode="json") if isinstance(x, Contract) else x for x in (then, now))
        if differ := differences(before, after, prefix):
            raise Conflict(
                f"{self.directory.name} was begun with another configuration: {'; '.join(differ)}. "
                "Go on with the same options and stack, or begin another with a new --run-id"
            )

    def _write_file(self, file: ComparisonFile) -> None:
        self._file = file
        self._write("", "config.json", file.model_dump_json(indent=1) + "\n")

    def _write(self, folder: str, name: str, text: str) -> str:
        path = self.directory / folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text)
        except OSError as error:
            raise InfrastructureError(f"cannot write {path}: {error.strerror}") from error
        return str(path.relative_to(self.directory))


def read_file(directory: Path) -> ComparisonFile:
    """Read what a directory compares.

    Raises:
        InfrastructureError: there is no such file of this version.
    """
    return read(ComparisonFile, directory / "config.json", "use a new --run-id")


def read_records(directory: Path) -> list[PeerRecord]:
    """Read all records of a directory, in the order of their paths; its command may be at work.

    Raises:
        InfrastructureError: one is not of this version.
    """
    return [
        read(PeerRecord, path, "use a new --run-id") for path in sorted(directory.glob("records/*/*.json"))
    ]
