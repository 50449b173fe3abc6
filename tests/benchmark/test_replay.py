"""Replays of a run that was made by the real stack with a scripted model."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from runner_bench import four_problems
from scripted_tasks import answering_model

from atlas.checkers import Checker
from atlas.config import Settings
from atlas.contracts import Example
from atlas.embedded.own_stack import private
from atlas.policy import BlendAsc, ReAsc
from benchmark import replay
from benchmark.conditions import Variant
from benchmark.measure import Bench, measure
from benchmark.recorded import replaying
from benchmark.recorded.material import gather
from benchmark.recorded.model_file import save_model_facts
from benchmark.recorded.replaying import bench
from benchmark.recorded.serving import served
from benchmark.run_store import Configuration, RunStore, TaskRecord, content_sha256
from benchmark.scoring.grader import Grade
from benchmark.tasks import HiddenTests, Task
from tests.chaos.problems import requests

CAREFUL: dict[str, Any] = {"k": 3, "plans": 2, "repairs": 3, "max_tokens": 200, "analysis_max_tokens": 100}
HIDDEN = HiddenTests((Example(input="1 1", output="x"),))


def tasks(n: int) -> list[Task]:
    return [
        Task(f"t{i}", "", "test", "", None, request.problem, HIDDEN)
        for i, request in enumerate(requests(n, seed=3))
    ]


class Right:
    """Passes the program that adds the right number."""

    async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
        offset = task.problem.statement.rstrip(".").split()[-1]
        passed = code is not None and code.rstrip().endswith(f"+ {offset})")
        return Grade(task.id, checker, passed=passed, tests=1, isolation="none")


class Silent:
    def done(self, record: TaskRecord) -> None:
        pass


async def make_run(directory: Path, made: Sequence[Task], changes: dict[str, Any], tmp_path: Path) -> None:
    """Make a run under a policy, with the real stack and its own executor."""
    model = answering_model()
    console = Console(file=io.StringIO())
    configuration = Configuration(
        dataset="scripted",
        dataset_sha256=content_sha256(made),
        tasks=len(made),
        condition="careful",
        seed=0,
        grader="official",
    )
    async with served(model.app()) as url:
        settings = Settings(data_dir=tmp_path / "stack", llama_url=url)
        async with private(settings, console) as stack:
            with RunStore(directory, configuration) as store:
                variant = Variant(name="careful", policy="resample", changes=changes)
                bench = Bench(stack, Right(), console, settings, concurrency=4)
                await measure(store, made, variant, bench, Silent())
                save_model_facts(directory, await stack.gateway.model_facts())


def decisions(directory: Path) -> dict[str, str | None]:
    records = [TaskRecord.model_validate_json(path.read_bytes()) for path in (directory / "tasks").glob("*")]
    return {record.task: record.view.program if record.view else None for record in records}


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = replay.main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.integration
def test_a_run_is_played_again_without_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    asyncio.run(make_run(run, tasks(5), CAREFUL, tmp_path))
    assert len(set(decisions(run).values())) >= 4

    code, own = replayed(capsys, str(run), "--no-execute")
    assert (code, own["coverage"], own["same"], own["why"]) == (0, 1.0, 5, "")
    assert 0 < own["pass_rate"] < 1
    assert (own["executed_anew"], own["differs"]) == (0, [])
    records = [TaskRecord.model_validate_json(path.read_bytes()) for path in (run / "tasks").glob("*")]
    assert own["tokens_out"] == sum(record.view.usage.tokens_out for record in records if record.view)
    assert own["passed"] == sum(record.outcome == "passed" for record in records)

    asyncio.run(other_policies(run, own["tokens_out"]))


async def other_policies(run: Path, tokens: int) -> None:
    material = gather(run)
    own = material.run.policy
    fewer = own.model_copy(update={"name": "fewer", "repairs": 0})
    more = own.model_copy(update={"name": "more", "k": 5})
    async with bench(material, Console(file=io.StringIO()), execute=True, settings=Settings()) as on:
        # Without repairs fewer calls are made, and all of them are in the record.
        done = await replaying.replay(material, fewer, on, concurrency=8)
        result = replay.summarise(material, fewer, on, done, len(done), 1.0)
        assert result.coverage == 1
        assert result.tokens_out < tokens
        assert (result.pass_rate is None) == ("no grade" in result.why)

        # Samples beyond those drawn are not there, for whoever needs them.
        done = await replaying.replay(material, more, on, concurrency=8)
        result = replay.summarise(material, more, on, done, len(done), 1.0)
        assert 0 < result.coverage < 1
        assert (result.pass_rate, result.interval, result.passed) == (None, None, None)
        assert "not in the record" in result.why
        assert all("not in the record" in str(task.missing) for task in done if not task.answered)


async def test_a_run_of_part_of_a_data_set_is_graded_on_that_part(tmp_path: Path) -> None:
    data, ids = four_problems(tmp_path), tmp_path / "ids.json"
    ids.write_text(json.dumps({"some": ["two", "four"]}))
    options = replay.parse(["run", "--dataset", str(data), "--ids", f"{ids}#some"])
    async with replay.judge(options, Settings(data_dir=tmp_path)) as judge:
        assert sorted(judge.tasks) == ["four", "two"]


DEEP: dict[str, Any] = {
    "k": 10,
    "plans": 0,
    "repairs": 0,
    "stop_after_passing": 0,
    "token_budget": 0,
    "inputs": 8,
    "input_tokens": 1536,
    "selector": "majority",
    "max_tokens": 200,
}


@pytest.mark.integration
def test_rules_that_stop_the_drawing_are_judged_on_a_run_that_drew_all(tmp_path: Path) -> None:
    """Blend-ASC, ReASC and agreement ask for no call that the whole of k samples does not hold."""
    run = tmp_path / "run"
    asyncio.run(make_run(run, tasks(5), DEEP, tmp_path))

    async def judged() -> dict[str, replay.Replay]:
        material = gather(run)
        own = material.run.policy
        changes: dict[str, dict[str, Any]] = {
            "own": {},
            "blend-asc": {"adaptive": BlendAsc(confidence=0.7)},
            "sure": {"adaptive": BlendAsc(confidence=0.999)},
            "reasc": {"adaptive": ReAsc(confidence=0.7)},
            "agreeing": {"stop_when_agreeing": 2},
        }
        results = {}
        async with bench(material, Console(file=io.StringIO()), execute=True, settings=Settings()) as on:
            for name, change in changes.items():
                policy = own.model_copy(update={"name": name, **change})
                done = await replaying.replay(material, policy, on, concurrency=8)
                results[name] = replay.summarise(material, policy, on, done, len(done), 1.0)
        return results

    results = asyncio.run(judged())
    assert {name: result.coverage for name, result in results.items()} == dict.fromkeys(results, 1.0)
    tokens = {name: result.tokens_out for name, result in results.items()}
    assert tokens["blend-asc"] < tokens["sure"] <= tokens["own"]
    assert tokens["reasc"] < tokens["own"]
    assert tokens["agreeing"] < tokens["own"]
    assert results["own"].same == 5
