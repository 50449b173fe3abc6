"""What kills of the runner changed: two run directories compared, but for times."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.events import Entry
from benchmark.run_store import TaskRecord, file_name
from benchmark.run_summary import RunSummary
from tests.chaos.verdict import Ended

# What two runs that did the same may differ in: when, how long, how much of the machine, where.
TIMES = {"submitted_at", "started_at", "finished_at", "seconds", "model_s", "executor_s"}
MACHINE = {"cpu_s", "memory_mb"}
SUMMARY_TIMES = {"seconds", "overhead_share", "model_share", "executor_share", "timed", "run_dir"}
SEEN = {"watched"}  # whether one life of the runner saw all of a task


@dataclass(frozen=True)
class Finished:
    """A run directory when its runner says that all is done, and the journals the gateway has of it.

    `at_gateway`: how many tasks the gateway has, of whatever key.
    """

    records: dict[str, TaskRecord]
    summary: RunSummary
    tasks: dict[str, Ended]
    at_gateway: int
    journals_differ: int
    unfinished_files: tuple[str, ...]


def read(run: Path, journals: dict[str, str]) -> Finished:
    """Read a finished run; `journals` are the gateway's, by the id of the task there.

    Raises:
        ValueError: it has no result, though its runner said that all is done.
    """
    if not (result := run / "result.json").exists():
        raise ValueError(f"{run} was left without its result.json")
    stored = [TaskRecord.model_validate_json(path.read_bytes()) for path in (run / "tasks").glob("*.json")]
    tasks: dict[str, Ended] = {}
    differ = 0
    for record in stored:
        path = run / "journals" / f"{file_name(record.task)}.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        entries = [Entry.model_validate_json(line) for line in text.splitlines()]
        view = record.view
        tasks[record.task] = Ended(
            view.status if view else "running", view.program if view else None, entries
        )
        differ += not view or journals.get(view.id) != text
    return Finished(
        records={record.task: record for record in stored},
        summary=RunSummary.model_validate_json(result.read_bytes()),
        tasks=tasks,
        at_gateway=len(journals),
        journals_differ=differ,
        unfinished_files=tuple(sorted(str(path.relative_to(run)) for path in run.rglob("*.tmp"))),
    )


def differences(calm: Finished, shaken: Finished, ignored: Set[str] = frozenset()) -> list[str]:
    """Say in words what differs: tasks, fields of records and of the result, but for those `ignored`."""
    found = []
    for task in sorted(calm.records.keys() | shaken.records.keys()):
        one, other = calm.records.get(task), shaken.records.get(task)
        if one is None or other is None:
            found.append(f"{task}: recorded in one of the runs only")
            continue
        names = differing(_content(one, ignored), _content(other, ignored))
        found += [f"{task}: {name}" for name in names]
    then = calm.summary.model_dump(mode="json", exclude=SUMMARY_TIMES | ignored)
    now = shaken.summary.model_dump(mode="json", exclude=SUMMARY_TIMES | ignored)
    found += [f"result.json: {name}" for name in differing(then, now)]
    return found


def _content(record: TaskRecord, ignored: Set[str]) -> dict[str, Any]:
    """A record without its times; the task's id at the gateway stays, it is the key's hash."""
    return {
        name: {inner: value for inner, value in field.items() if inner not in TIMES | MACHINE | ignored}
        if isinstance(field, dict)
        else field
        for name, field in record.model_dump(mode="json").items()
        if name not in TIMES | SEEN | ignored
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Say in words which fields differ."""
    found = []
    for name in one.keys() | other.keys():
        then, now = one.get(name), other.get(name)
        if isinstance(then, dict) and isinstance(now, dict):
            found += [f"{name}.{inner}" for inner in differing(then, now)]
        elif then != now:
            found.append(f"{name} was {then!r}, is {now!r}")
    return sorted(found)
