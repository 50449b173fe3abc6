"""What a replay works from: a run's tasks, its journals as stores, its model, and its grades by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atlas.errors import BadInput, Conflict
from atlas.events import CommandFailed, Entry, TaskSubmitted
from atlas.model_facts import ModelFacts
from benchmark.grades import Program, load_grades
from benchmark.recorded.completions import CompletionStore, Records, Several
from benchmark.recorded.executions import ExecutionStore, read_executions
from benchmark.recorded.journals import read_journal
from benchmark.recorded.model_file import MODEL, read_model_facts
from benchmark.recorded.pool import COMPLETIONS
from benchmark.results import RunResults, load_journal, load_record, load_run, program_sha256, run_directories
from benchmark.run_store import TaskRecord


@dataclass(frozen=True)
class Subject:
    """A task of the run: how it ended then, what was submitted, and which commands its machinery failed."""

    record: TaskRecord
    submitted: TaskSubmitted
    failed: frozenset[str]


@dataclass
class Material:
    """Everything there is of a run, by content. `untold`: tasks that left no journal."""

    run: RunResults
    facts: ModelFacts
    completions: Records
    executions: ExecutionStore
    subjects: list[Subject] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    grades: dict[Program, bool] = field(default_factory=dict)


def gather(run: Path, more: Sequence[Path] = ()) -> Material:
    """Read a run; `more`: other records of the same model (runs, ablations, sample pools).

    The sample pool of the ablation that a run belongs to is found by itself.

    Raises:
        BadInput: this is no run, or nothing tells of its model (it has no model.json).
        Conflict: another record is of another model.
        InfrastructureError: a file cannot be read.
    """
    results = load_run(run)
    completions, executions = CompletionStore(), ExecutionStore()
    stores: list[Records] = [completions]
    others = [path for path in more if not (path / COMPLETIONS).is_file()]
    pools = _pools_beside(results) + [path for path in more if (path / COMPLETIONS).is_file()]
    facts = _facts(run, pools)
    material = Material(results, facts, Several(stores), executions)
    _read_run(results, material, completions)
    for other in others:
        for directory in run_directories(other):
            _same_model(directory, facts)
            for result in load_run(directory).tasks:
                read_journal(load_journal(result), completions, executions)
    stores += [CompletionStore(pool / COMPLETIONS) for pool in pools]
    material.completions = Several(stores)
    problems = {subject.record.task: subject.submitted.problem for subject in material.subjects}
    for directory in (run, *others):
        read_executions(directory, problems, executions)
    grader = results.configuration.grader
    for program, grade in load_grades(run).items():
        graded = grade.official if grader == "official" else grade.strict
        if graded.passed is not None:
            material.grades.setdefault(program, graded.passed)
    return material


def _pools_beside(results: RunResults) -> list[Path]:
    """Return the sample pools of the run's ablation (`benchmark.ablation.store`) that are of its model."""
    ablation = results.directory.resolve().parent.parent
    if results.pins is None or not (ablation / "plan.json").is_file():
        return []
    pools = [path.parent for path in sorted(ablation.glob(f"*/pool/{COMPLETIONS}"))]
    facts = [(pool, read_model_facts(pool)) for pool in pools]
    return [pool for pool, of in facts if of is not None and of.model == results.pins.model]


def _facts(run: Path, pools: Sequence[Path]) -> ModelFacts:
    found = [(path, facts) for path in (run, *pools) if (facts := read_model_facts(path))]
    if not found:
        raise BadInput(
            f"{run} has no {MODEL}: it was made before runs noted their model; give a sample pool of the "
            "same model with --more"
        )
    for path, _ in found[1:]:
        _same_model(path, found[0][1])
    return found[0][1]


def _same_model(directory: Path, facts: ModelFacts) -> None:
    other = read_model_facts(directory)
    if other is not None and (other.model, other.chat_template) != (facts.model, facts.chat_template):
        raise Conflict(f"{directory} is a record of another model: {other.model}, not {facts.model}")


def _read_run(results: RunResults, material: Material, completions: CompletionStore) -> None:
    for result in results.tasks:
        entries = load_journal(result)
        record = load_record(results, result.task)
        submitted = entries[0].event if entries else None
        if not isinstance(submitted, TaskSubmitted):
            material.untold.append(result.task)
            continue
        read_journal(entries, completions, material.executions)
        material.subjects.append(Subject(record, submitted, _failed(entries)))
        if record.grade and record.grade.passed is not None and record.view and record.view.program:
            program = Program(record.task, program_sha256(record.view.program))
            material.grades[program] = record.grade.passed


def _failed(entries: Sequence[Entry]) -> frozenset[str]:
    return frozenset(
        str(entry.event.command)
        for entry in entries
        if isinstance(entry.event, CommandFailed) and entry.event.infrastructure
    )
