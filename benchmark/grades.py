"""What both checkers say of every program of a run: `RUN/grades.jsonl`, one line per task and program.

Written by `benchmark.regrade`, read by whatever shows or compares runs. A line holds verdicts, never an
input, an output or an expected output. The file only grows; of two lines for the same program the later one
counts, and a last line that a kill has cut off is as good as none.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from pydantic import ValidationError

from atlas.contracts import Contract, Verdict
from atlas.errors import Conflict, InfrastructureError
from atlas.files import sync_directory, take_lock
from benchmark.run_store import GradeSummary

FILE, LOCK = "grades.jsonl", ".grades.lock"


class Program(NamedTuple):
    """Names a program of a run: its task, and the SHA-256 of its text (`results.program_sha256`)."""

    task: str
    sha256: str


class ProgramGrade(Contract):
    """One program on all tests of its task, public examples first, by both checkers."""

    task: str
    program_sha256: str
    official: GradeSummary
    strict: GradeSummary

    @property
    def program(self) -> Program:
        """Which program this is of."""
        return Program(self.task, self.program_sha256)

    @property
    def settled(self) -> bool:
        """Whether both have a verdict; else machinery failed, and the next regrading tries again."""
        return self.official.passed is not None and self.strict.passed is not None

    @property
    def differ(self) -> bool:
        """Whether one checker accepts what the other calls a wrong answer."""
        return self._opposed and self.failed_by is Verdict.WRONG_ANSWER

    @property
    def unstable(self) -> bool:
        """Whether the program passed once and hit a limit or crashed the other time: no checker's doing."""
        return self._opposed and self.failed_by is not Verdict.WRONG_ANSWER

    @property
    def failed_by(self) -> Verdict | None:
        """What the failed grading (the official one, if both failed) failed by first; None if neither did."""
        return first_failure(self.strict if self.official.passed else self.official)

    def passes_examples(self, examples: int) -> bool:
        """Whether it passes the task's public examples, of which there are so many, by the official checker.

        They are the first tests of the grading, which ends at the first test that is not accepted.
        """
        verdicts = self.official.verdicts[:examples]
        return len(verdicts) == examples and all(verdict is Verdict.ACCEPTED for verdict in verdicts)

    @property
    def _opposed(self) -> bool:
        return self.settled and self.official.passed != self.strict.passed


def first_failure(grade: GradeSummary) -> Verdict | None:
    """Return the first verdict of a failed grading that is no acceptance; None if it did not fail so."""
    failures = (verdict for verdict in grade.verdicts if verdict is not Verdict.ACCEPTED)
    return next(failures, None) if grade.passed is False else None


def load_grades(directory: Path) -> dict[Program, ProgramGrade]:
    """Read a run's grades; empty where it was never regraded.

    Raises:
        InfrastructureError: the file cannot be read, or a line is not of this version.
    """
    path = directory / FILE
    if not path.exists():
        return {}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InfrastructureError(f"cannot read {path}: {error.strerror}") from error
    found: dict[Program, ProgramGrade] = {}
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            grade = ProgramGrade.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InfrastructureError(
                f"{path}: line {number} is no grade of this version ({where}: {first['msg']}); "
                "move the file away and regrade"
            ) from error
        found[grade.program] = grade
    return found


class GradeFile:
    """A run's grades, held by one writer at a time. Use `with GradeFile(run) as grades`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = self._file = -1
        self._grades: dict[Program, ProgramGrade] = {}

    def __enter__(self) -> GradeFile:
        """Take the lock, read what there is, and cut off an unfinished last line.

        Raises:
            Conflict: another process regrades this run.
            InfrastructureError: the file cannot be used.
        """
        try:
            self._lock = take_lock(self._directory / LOCK)
            self._grades = load_grades(self._directory)
            self._open(self._directory / FILE)
        except BlockingIOError:
            raise Conflict(f"another process is regrading {self._directory}") from None
        except OSError as error:
            self._close()
            raise InfrastructureError(f"cannot write to {self._directory}: {error.strerror}") from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def grades(self) -> dict[Program, ProgramGrade]:
        """All grades so far."""
        return self._grades

    def add(self, grade: ProgramGrade) -> None:
        """Write a grade; once this returns, it is on disk.

        Raises:
            InfrastructureError: it cannot be written.
        """
        try:
            os.write(self._file, grade.model_dump_json().encode() + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._directory / FILE}: {error.strerror}") from error
        self._grades[grade.program] = grade

    def _open(self, path: Path) -> None:
        new = not path.exists()
        whole = 0 if new else path.read_bytes().rfind(b"\n") + 1
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, whole)
        if new:
            sync_directory(path.parent)

    def _close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1
