"""The run directory: atomic files, one holder, resume with the same configuration only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from atlas.contracts import Example, Problem, Usage
from atlas.errors import Conflict, InfrastructureError
from atlas.events import Pins
from atlas.policy import FULL, A
from benchmark import run_store
from benchmark.run_store import Configuration, RunStore, TaskRecord, content_sha256, file_name
from benchmark.stored import write_atomic
from benchmark.tasks import HiddenTests, Task

CONFIGURATION = Configuration(
    dataset="d", dataset_sha256="0" * 64, tasks=2, condition="A", seed=0, grader="official"
)
PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="m")


def task(name: str = "one", hidden: str = "7") -> Task:
    return Task(
        id=name,
        title=name,
        platform="t",
        difficulty="",
        date=None,
        problem=Problem(statement="Print 7."),
        hidden=HiddenTests((Example(input="", output=hidden),)),
    )


def record(name: str = "one", outcome: str = "passed", **more: object) -> TaskRecord:
    usual = {"task": name, "outcome": outcome, "attempt": 1, "started_at": 1.0, "finished_at": 2.0}
    return TaskRecord.model_validate(usual | more)


def store(tmp_path: Path, **other: object) -> RunStore:
    return RunStore(tmp_path / "runs" / "r1", CONFIGURATION.model_copy(update=other))


def test_a_run_is_read_back(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        first.bind_policy(A)
        first.bind_pins(PINS)
        first.save(record("one"))
        first.save(record("two", "error", error="no gateway", cause="gateway"))
        assert first.save_journal("one", "{}\n") == "journals/one.jsonl"
    with store(tmp_path) as again:
        assert (again.policy, again.pins, again.run_id) == (A, PINS, "r1")
        assert {name: r.outcome for name, r in again.records.items()} == {"one": "passed", "two": "error"}
        todo = again.unfinished([task("one"), task("two"), task("three")])
        assert [t.id for t in todo] == ["two", "three"]


def test_config_json_carries_a_hash_of_what_was_asked_and_served(tmp_path: Path) -> None:
    def config() -> dict[str, object]:
        found: dict[str, object] = json.loads((tmp_path / "runs/r1/config.json").read_text())
        return found

    with store(tmp_path) as first:
        first.bind_policy(A)
        before = config()["configuration_sha256"]
        first.bind_pins(PINS)
    assert config()["configuration_sha256"] != before
    assert config()["pins"] == PINS.model_dump()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"dataset_sha256": "1" * 64}, "dataset_sha256 was"),
        ({"condition": "full"}, "condition was 'A', is 'full'"),
        ({"tasks": 3}, "tasks was 2, is 3"),
        ({"grader": "strict"}, "grader was 'official', is 'strict'"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, other: dict[str, object], says: str) -> None:
    with store(tmp_path) as first:
        first.bind_policy(A)
    with pytest.raises(Conflict, match=says), store(tmp_path, **other):
        pass


def test_another_policy_or_model_is_refused(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        first.bind_policy(A)
        first.bind_pins(PINS)
    with store(tmp_path) as again:
        again.bind_policy(A)
        with pytest.raises(Conflict, match=r"policy\.k was 1, is 8"):
            again.bind_policy(FULL)
        with pytest.raises(Conflict, match="model was 'm', is 'other'"):
            again.bind_pins(PINS.model_copy(update={"model": "other"}))


def test_one_runner_at_a_time(tmp_path: Path) -> None:
    with store(tmp_path), pytest.raises(Conflict, match="another runner"), store(tmp_path):
        pass


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    with store(tmp_path):
        pass
    assert not (tmp_path / "runs" / "r1").exists()


def test_write_atomic_is_old_or_new_wherever_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, "old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for where in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(run_store.os if where == "fsync" else Path, where, die)
            with pytest.raises(KeyboardInterrupt):
                write_atomic(path, "new")
        assert path.read_text() == "old"
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_half_written_files_are_not_read(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        first.bind_policy(A)
        first.save(record("one"))
    (tmp_path / "runs/r1/tasks/two.json.tmp").write_text("{")
    with store(tmp_path) as again:
        assert set(again.records) == {"one"}


def test_a_file_of_another_make_is_named(tmp_path: Path) -> None:
    with store(tmp_path) as first:
        first.bind_policy(A)
    (tmp_path / "runs/r1/tasks").mkdir()
    (tmp_path / "runs/r1/tasks/one.json").write_text('{"task": 1}')
    with pytest.raises(InfrastructureError, match=r"one\.json is not a TaskRecord"), store(tmp_path):
        pass


def test_a_runs_dir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InfrastructureError, match="--runs-dir"), store(tmp_path):
        pass


def test_file_names_are_safe_and_distinct() -> None:
    ids = ["a", "a/b", "a%2Fb", "../x", "..", ".hidden", "ü" * 200, "ü" * 201, "x" * 200, "A b"]
    names = [file_name(each) for each in ids]
    assert len(set(names)) == len(ids)
    assert all("/" not in n and not n.startswith(".") and len(n) < 160 for n in names)
    assert names[0] == "a"


def test_the_content_hash_sees_problems_hidden_tests_and_order() -> None:
    one, two = task("one"), task("two")
    hashes = {content_sha256(each) for each in ([one], [one, two], [two, one], [task("one", hidden="8")])}
    assert len(hashes) == 4
    assert content_sha256([one]) == content_sha256([task("one")])


def test_the_content_hash_of_earlier_runs_stands() -> None:
    """Of a task as it was hashed before problems had choices and steps."""
    assert content_sha256([task()]) == "24ace1fb2a06802a8d6ff6392cb34baaf1f71456ae1df1bb2391d7dcd3d4b42b"
    with_choices = task("one").problem.model_copy(update={"choices": ("a", "b")})
    assert content_sha256([replace(task("one"), problem=with_choices)]) != content_sha256([task("one")])


def test_the_next_attempt_is_a_new_task_unless_only_grading_failed() -> None:
    assert record(outcome="error", cause="task", error="x").next_attempt == 2
    assert record(outcome="error", cause="grader", error="x").next_attempt == 1
    assert record(earlier=[{"attempt": 1, "error": "x"}]).earlier[0].usage == Usage()
