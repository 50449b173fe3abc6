"""Pools as selectors are judged on them: each task's journal, its candidates, and which of them are right.

Whether a candidate is right is known here and nowhere in the solving stack: it is read from the grades that
`benchmark.regrade` left in the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.contracts import Candidate
from atlas.errors import BadInput
from atlas.events import CandidateGenerated, Entry, ExecutionFinished, TaskSubmitted
from benchmark.grades import Program, load_grades
from benchmark.results import RunResults, load_journal, load_runs, program_sha256


@dataclass(frozen=True)
class PooledTask:
    """One task of one pool. `right`: whether each candidate is, by its id; one without a program is not.

    `passed`: the share of the public examples that each candidate passed, for those that were run on any.
    `pool`: the directory.
    """

    task: str
    platform: str
    model: str
    entries: tuple[Entry, ...]
    candidates: tuple[Candidate, ...]
    right: Mapping[str, bool]
    passed: Mapping[str, float]
    pool: Path

    @property
    def key(self) -> str:
        """The task, whichever pool it is from: what belongs together in a fit or an interval."""
        return self.task

    @property
    def prompt_chars(self) -> int:
        """Characters of the problem's statement."""
        submitted = self.entries[0].event
        return len(submitted.problem.statement) if isinstance(submitted, TaskSubmitted) else 0

    @property
    def mixed(self) -> bool:
        """Whether there is something to choose: right candidates and wrong ones."""
        return len(set(self.right.values())) > 1


def load_pools(paths: Sequence[Path], k: int | None = None) -> list[PooledTask]:
    """Read the tasks of pools that have a journal; of each the first `k` candidates, if said.

    Raises:
        BadInput: a path is no run, or a program has no grade; names the command that grades it.
        InfrastructureError: a file cannot be read.
    """
    return [task for run in load_runs(paths) for task in _tasks(run, k)]


def _tasks(run: RunResults, k: int | None) -> list[PooledTask]:
    grades = {
        program: grade.official.passed
        for program, grade in load_grades(run.directory).items()
        if grade.official.passed is not None
    }
    found = []
    for result in run.graded:
        entries = load_journal(result)
        submitted = entries[0].event if entries else None
        if not isinstance(submitted, TaskSubmitted) or submitted.problem.kind not in ("stdin", "function"):
            continue
        drawn = [e.event.candidate for e in entries if isinstance(e.event, CandidateGenerated)]
        candidates = tuple(c for c in drawn if c.origin != "repair")[:k]
        if not any(c.code is not None for c in candidates):
            continue
        found.append(
            PooledTask(
                task=result.task,
                platform=result.platform or "unknown",
                model=submitted.pins.model,
                entries=tuple(entries),
                candidates=candidates,
                right={c.id: _right(run, result.task, c, grades) for c in candidates},
                passed=_passed(entries),
                pool=run.directory,
            )
        )
    return found


def _right(run: RunResults, task: str, candidate: Candidate, grades: Mapping[Program, bool | None]) -> bool:
    if candidate.code is None:
        return False
    grade = grades.get(Program(task, program_sha256(candidate.code)))
    if grade is None:
        raise BadInput(
            f"{run.directory}: {candidate.id} of task '{task}' has no grade; grade every program first: "
            f"python -m benchmark.regrade {run.directory} (with the --dataset and --ids it was recorded with)"
        )
    return grade


def _passed(entries: Sequence[Entry]) -> dict[str, float]:
    finished = [e.event for e in entries if isinstance(e.event, ExecutionFinished)]
    return {
        event.candidate: event.execution.passed / event.execution.total
        for event in finished
        if event.execution.results
    }
