"""Reading runs: what the records say, what they leave out, and directories that hold no run."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from atlas.contracts import Example, Problem
from atlas.errors import BadInput, InfrastructureError
from atlas.events import Pins
from atlas.policy import A
from benchmark.results import described, load_journal, load_record, load_run, load_runs, program_sha256
from benchmark.run_store import Configuration, RunStore, TaskRecord
from benchmark.statistics import Submission
from benchmark.tasks import HiddenTests, Task

VIEW = {
    "id": "0" * 32,
    "status": "decided",
    "policy": "A",
    "model": "m",
    "priority": "p1",
    "submitted_at": 1.0,
    "seconds": 2.5,
    "events": 6,
    "usage": {"tokens_in": 10, "tokens_out": 20, "tokens_cached": 5},
    "late_tokens": 3,
    "model_s": 2.0,
    "executor_s": 0.1,
    "program": "print(1)",
    "candidate": "c0",
    "evidence": {
        "basis": "passed_public_examples",
        "public_passed": 2,
        "public_total": 3,
        "candidates": 4,
        "survivors": 1,
    },
}
ENTRY = '{"seq":1,"time":1.0,"event":{"type":"DeadlineReached"}}\n'


def record(task: str, outcome: str = "passed", **more: object) -> TaskRecord:
    usual = {"task": task, "outcome": outcome, "attempt": 1, "started_at": 1.0, "finished_at": 4.0}
    return TaskRecord.model_validate(usual | more)


def make_run(directory: Path, *records: TaskRecord, journal: str = "") -> Path:
    configuration = Configuration(
        dataset="d", dataset_sha256="0" * 64, tasks=3, condition="A", seed=7, grader="official"
    )
    with RunStore(directory, configuration) as store:
        store.bind_policy(A)
        store.bind_pins(Pins(pipeline="1", prompts_sha256="0" * 64, model="m"))
        for each in records:
            if journal:
                store.save_journal(each.task, journal)
            store.save(each)
    return directory


def test_a_run_as_its_records_tell_it(tmp_path: Path) -> None:
    made = make_run(
        tmp_path / "r",
        record("b", "failed", view=VIEW, journal="journals/b.jsonl", watched=True),
        record("a", "passed", started_at=3.0, finished_at=5.0),
        record("c", "error", error="gone", cause="task", view=VIEW, started_at=9.0, finished_at=10.0),
        journal=ENTRY,
    )
    run = load_run(made)
    assert (run.run_id, run.condition, run.seed, run.model) == ("r", "A", 7, "m")
    assert [task.task for task in run.tasks] == ["a", "b", "c"]
    assert (run.n, run.passed, run.errors) == (2, 1, 1)
    assert run.replicate == ({"a": Submission(True, 0), "b": Submission(False, 20)}, "m", 7)
    assert run.seconds == pytest.approx(5.0)
    _, b, c = run.tasks
    assert (b.tokens_in, b.tokens_out, b.tokens_cached, b.tokens_late) == (10, 20, 5, 3)
    assert (b.seconds, b.model_s, b.executor_s, b.watched) == (2.5, 2.0, 0.1, True)
    assert (b.public_passed, b.public_total, b.candidates, b.survivors) == (2, 3, 4, 1)
    assert (b.program, b.program_sha256) == ("print(1)", program_sha256("print(1)"))
    assert (b.tokens_error, c.tokens_error, c.passed) == (0, 30, False)
    assert [entry.event.type for entry in load_journal(b)] == ["DeadlineReached"]
    assert load_record(run, "c").error == "gone"


def test_what_a_record_does_not_say_is_absent(tmp_path: Path) -> None:
    only = load_run(make_run(tmp_path / "r", record("a", journal="journals/a.jsonl"))).tasks[0]
    assert (only.public_passed, only.basis, only.program_sha256, only.journal) == (None, None, None, None)
    assert (only.difficulty, only.platform, only.month) == ("", "", "")
    assert load_journal(only) == []


def test_the_data_set_says_what_the_run_did_not_note(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path / "r", record("a"), record("b")))
    task = Task(
        id="a",
        title="",
        platform="leetcode",
        difficulty="hard",
        date=date(2024, 3, 9),
        problem=Problem(statement="Print 7."),
        hidden=HiddenTests((Example(input="", output="7"),)),
    )
    a, b = described(run, [task]).tasks
    c = described(load_run(make_run(tmp_path / "s", record("a", meta={"difficulty": "easy"}))), [task]).tasks[
        0
    ]
    assert (c.difficulty, c.platform) == ("easy", "leetcode"), "what the run noted stands"
    assert (a.difficulty, a.platform, a.date, a.month) == ("hard", "leetcode", "2024-03-09", "2024-03")
    assert (b.difficulty, b.platform, b.month) == ("", "", "")


def test_an_ablation_is_its_runs_and_none_is_read_twice(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    second = make_run(tmp_path / "runs" / "B-s0")
    make_run(tmp_path / "runs" / "A-s0")
    (tmp_path / "runs" / "notes").mkdir()
    assert [run.run_id for run in load_runs([tmp_path])] == ["A-s0", "B-s0"]
    assert [run.run_id for run in load_runs([second, tmp_path])] == ["B-s0", "A-s0"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such directory"):
        load_runs([tmp_path / "nowhere"])
    with pytest.raises(BadInput, match="neither a run"):
        load_runs([tmp_path])
    make_run(tmp_path / "r1")
    with pytest.raises(BadInput, match="give one of them: r1"):
        load_runs([tmp_path])
    with pytest.raises(BadInput, match="no record of a task 'x'"):
        load_record(load_run(tmp_path / "r1"), "x")


def test_runs_of_the_first_version_are_read(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r", record("a")) / "config.json"
    content = json.loads(path.read_text())
    content["configuration"]["limit"] = 3
    del content["sources"], content["excluded"]
    path.write_text(json.dumps(content))
    run = load_run(tmp_path / "r")
    assert (run.configuration.dataset, run.sources, run.excluded) == ("d, first 3", (), {})
    path.write_text("[]")
    with pytest.raises(InfrastructureError, match="no run's configuration"):
        load_run(tmp_path / "r")


def test_a_file_of_another_version_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", record("a", journal="journals/a.jsonl"), journal=ENTRY + "{}\n")
    with pytest.raises(InfrastructureError, match="line 2 is no journal entry"):
        load_journal(load_run(run).tasks[0])
    path = run / "tasks" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unheard": 1}))
    with pytest.raises(InfrastructureError, match=r"a.json is not a TaskRecord .*unheard"):
        load_run(run)
