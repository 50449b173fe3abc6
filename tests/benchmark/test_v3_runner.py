"""The runner against a scripted gateway: what a run keeps, kills at every point, errors, and blindness."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from runner_bench import (
    CANARIES,
    INFRASTRUCTURE,
    FakeGrader,
    first,
    four_problems,
    hasten,
    options_for,
    run,
    stored,
    two_is_wrong,
)

from atlas.api import SubmitRequest
from atlas.client import GatewayUnreachable
from atlas.contracts import MAX_CODE_CHARS
from benchmark import datasets, run_store
from benchmark.solve import key
from benchmark.v3_runner import Options
from tests.support.scripted_gateway import BROKEN, RIGHT, Answer, ScriptedGateway, ended, problem


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
options = pytest.fixture(options_for)
scripted = pytest.fixture(two_is_wrong)


def test_a_run(options: Options, scripted: ScriptedGateway) -> None:
    log = io.StringIO()
    result = run(options, scripted, log=log)
    assert (result.n, result.passed, result.errors, result.model) == (4, 3, 0, "scripted")
    assert (result.tokens_in, result.tokens_cached, result.tokens_out) == (400, 160, 40)
    assert result.overhead_share == pytest.approx(1 - 1.9 / 2)
    assert result.interval
    assert result.interval[0] < 0.75 < result.interval[1]
    assert options.runs_dir
    directory = options.runs_dir / "r1"
    assert result.run_dir == str(directory)
    assert stored(options, "one").journal == "journals/one.jsonl"
    assert (directory / "journals/one.jsonl").read_text().startswith('{"seq":1')
    assert json.loads((directory / "result.json").read_text())["passed"] == 3
    lines = log.getvalue().splitlines()
    assert lines[0] == f"run r1: 0 of 4 tasks done ({directory})"
    assert lines[2].startswith("[2/4] failed  two ")
    assert "2/3 passed (67%)" in lines[3]


def test_only_problems_are_sent(options: Options, scripted: ScriptedGateway, dataset: Path) -> None:
    run(options, scripted)
    sent = [SubmitRequest.model_validate_json(body) for body in scripted.bodies]
    assert [request.problem for request in sent] == [task.problem for task in datasets.load(dataset)]
    everything = b"".join(scripted.bodies) + repr(scripted.requests).encode()
    assert b"PUBLIC-IN" in everything
    assert not [canary for canary in CANARIES if canary.encode() in everything]
    assert options.runs_dir
    files = [path for path in options.runs_dir.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [p for p in files for canary in CANARIES if canary.encode() in p.read_bytes()]


def test_seed_and_condition_reach_the_policy(options: Options, scripted: ScriptedGateway) -> None:
    result = run(replace(first(options, 2), condition="A", seed=7), scripted)
    assert (result.condition, result.seed, result.n) == ("A", 7, 2)
    policies = [request.policy for request, _, _ in scripted.tasks.values()]
    assert {(p.name, p.seed) for p in policies if not isinstance(p, str)} == {("A", 7)}
    assert scripted.keys == ["r1/one/7", "r1/two/7"]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_resume_after_a_kill_at_every_point(
    options: Options, scripted: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Each step in turn kills the runner: around every request, every grading and every file."""
    options = replace(first(options, 3), concurrency=concurrency)
    steps = kill_at = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed

    def write(path: Path, text: str) -> None:
        step()
        if not path.name.endswith(".jsonl"):
            path.with_name(path.name + ".tmp").write_text(text[: len(text) // 2])
            step()
        real_write(path, text)
        step()

    real_write = run_store.write_atomic
    monkeypatch.setattr(run_store, "write_atomic", write)
    while True:
        kill_at, steps = kill_at + 1, 0
        gateway = ScriptedGateway(script=dict(scripted.script), hook=step)
        this = replace(options, run_id=f"r{kill_at}")
        try:
            run(this, gateway, FakeGrader(step=step))
        except Killed:
            pass
        else:
            break
        before = {name: stored(this, name) for name in ("one", "two", "three") if _done(this, name)}
        gateway.hook = None
        result = run(this, gateway)
        assert (result.n, result.passed, result.errors) == (3, 2, 0), f"killed at step {kill_at}"
        assert gateway.began == {"one": 1, "two": 1, "three": 1}, f"killed at step {kill_at}"
        assert all(stored(this, name) == record for name, record in before.items())
    assert kill_at > 50


def _done(options: Options, name: str) -> bool:
    assert options.runs_dir
    return (options.runs_dir / options.run_id / "tasks" / f"{name}.json").exists()


def test_a_finished_run_needs_no_gateway(options: Options, scripted: ScriptedGateway) -> None:
    first = run(options, scripted)
    requests = len(scripted.requests)
    assert run(options, scripted) == first
    assert len(scripted.requests) == requests


@pytest.mark.parametrize("ending", INFRASTRUCTURE.values(), ids=INFRASTRUCTURE.keys())
def test_machinery_is_never_a_wrong_answer_and_is_tried_again(
    options: Options, scripted: ScriptedGateway, ending: dict[str, object]
) -> None:
    scripted.script["three"] = [ending, ended()]
    result = run(options, scripted)
    assert (result.n, result.passed, result.errors) == (3, 2, 1)
    assert stored(options, "three").outcome == "error"
    assert stored(options, "three").cause == "task"
    result = run(options, scripted)
    assert (result.n, result.passed, result.errors) == (4, 3, 0)
    assert scripted.keys[-1] == "r1/three/0/2"
    assert scripted.began == {"one": 1, "two": 1, "three": 2, "four": 1}
    assert [attempt.attempt for attempt in stored(options, "three").earlier] == [1]
    assert result.tokens_error == 110


def test_a_right_program_counts_whatever_failed_on_the_way(
    options: Options, scripted: ScriptedGateway
) -> None:
    scripted.script["three"] = [ended(RIGHT, failures=(BROKEN,))]
    assert run(options, scripted).passed == 3


def test_a_failed_grading_is_repeated_on_the_same_program(
    options: Options, scripted: ScriptedGateway
) -> None:
    result = run(options, scripted, FakeGrader(broken=1))
    assert (result.n, result.errors) == (3, 1)
    assert stored(options, "one").error == "no executor"
    grader = FakeGrader()
    result = run(options, scripted, grader)
    assert (result.n, result.passed, result.errors) == (4, 3, 0)
    assert grader.graded == ["one"]
    assert set(scripted.began.values()) == {1}


@pytest.mark.parametrize("program", [None, "x" * (MAX_CODE_CHARS + 1)], ids=["none", "too long"])
def test_no_program_and_too_long_a_program_are_failures(
    options: Options, scripted: ScriptedGateway, program: str | None
) -> None:
    scripted.script["three"] = [ended(program)]
    result = run(options, scripted)
    assert (result.n, result.passed, result.errors) == (4, 2, 0)
    grade = stored(options, "three").grade
    assert grade
    assert grade.note == ("no program" if program is None else "the program is longer than 64000 characters")


def test_a_task_that_abstained_is_not_passed_and_no_error(
    options: Options, scripted: ScriptedGateway
) -> None:
    doubt = "abstained: confidence 0.31 is below 0.50; ask again with a lower abstain_below"
    scripted.script["three"] = [ended(None, status="abstained", error=doubt)]
    log = io.StringIO()
    result = run(options, scripted, log=log)
    assert (result.n, result.passed, result.errors) == (4, 2, 0)
    assert (result.abstained, result.selective) == (1, pytest.approx(2 / 3, abs=1e-4))
    record = stored(options, "three")
    assert (record.outcome, record.error) == ("failed", None)
    assert record.grade
    assert record.grade.note == doubt
    assert "three" in next(line for line in log.getvalue().splitlines() if "  abstained" in line)


def test_only_errors_make_no_interval(options: Options, scripted: ScriptedGateway) -> None:
    scripted.script = {name: [INFRASTRUCTURE["cancelled"]] for name in ("one", "two", "three", "four")}
    result = run(options, scripted)
    assert (result.n, result.errors, result.interval, result.overhead_share) == (0, 4, None, None)


def test_a_refused_submission_is_an_error_of_that_task(options: Options, scripted: ScriptedGateway) -> None:
    def hook(when: str, method: str, path: str) -> Answer | None:
        refused = when == "before" and method == "POST" and len(scripted.tasks) == 3
        return problem(422, "statement: too long") if refused else None

    scripted.hook = hook
    result = run(options, scripted)
    assert (result.n, result.errors) == (3, 1)
    assert "statement: too long" in str(stored(options, "four").error)


def test_a_gateway_that_goes_away_stops_the_run_and_a_resume_goes_on(
    options: Options, scripted: ScriptedGateway
) -> None:
    def hook(when: str, method: str, path: str) -> Answer | None:
        return problem(503, "away") if len(scripted.tasks) == 2 and when == "before" else None

    scripted.hook = hook
    with pytest.raises(GatewayUnreachable, match="away"):
        run(options, scripted)
    scripted.hook = None
    result = run(options, scripted)
    assert (result.n, result.errors) == (4, 0)
    assert set(scripted.began.values()) == {1}


def test_keys_are_stable_and_fit(options: Options) -> None:
    assert key("r", "abc_1", 3, 1) == "r/abc_1/3"
    assert key("r", "abc_1", 3, 2) == "r/abc_1/3/2"
    assert key("r", "a/b ü", 0, 1) == "r/a%2Fb%20%C3%BC/0"
    long = key("r" * 100, "ü" * 300, 0, 12)
    assert len(long) <= 200
    assert long != key("r" * 100, "ü" * 301, 0, 12)
