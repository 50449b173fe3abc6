"""An ablation against a scripted gateway: what is done once stays done, and two plans never mix."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from runner_bench import FakeGrader, four_problems, hasten

from atlas.config import Settings
from atlas.errors import BadInput, Conflict, InfrastructureError
from benchmark.ablation import __main__ as command
from benchmark.ablation.carry_out import How, carry_out
from benchmark.ablation.plan import Plan, read_plan
from benchmark.ablation.store import AblationStore
from benchmark.datasets.selection import load
from benchmark.run_summary import RunSummary
from tests.support.scripted_gateway import ScriptedGateway, ended

hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)

PLAN = """
name = "budgets"
seeds = [0, 1]
models = ["scripted"]
[tasks]
dataset = "four.jsonl"
[[conditions]]
policy = "A"
seeds = [0]
[[conditions]]
name = "resample-2k"
policy = "resample"
token_budget = 2048
"""
CELLS = ["scripted--A--s0", "scripted--resample-2k--s0", "scripted--resample-2k--s1"]


@pytest.fixture
def plan_file(dataset: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def begun(plan: Plan, directory: Path) -> AblationStore:
    return AblationStore(directory, plan, load(plan.tasks, directory))


def carried_out(
    plan: Plan,
    directory: Path,
    url: str,
    grader: FakeGrader | None = None,
    log: io.StringIO | None = None,
    only: frozenset[str] | None = None,
) -> list[RunSummary]:
    console = Console(file=log or io.StringIO(), width=200)
    with begun(plan, directory) as store:
        how = How(Settings(data_dir=directory), target=url, concurrency=2, only=only)
        return asyncio.run(carry_out(store, how, console, grader or FakeGrader()))


def test_every_cell_is_a_run(plan_file: Path, tmp_path: Path) -> None:
    gateway, log = ScriptedGateway(script={"two": [ended("print(2)")]}), io.StringIO()
    with gateway.served() as url:
        results = carried_out(read_plan(plan_file), tmp_path / "out", url, log=log)
    assert [(r.condition, r.seed, r.passed, r.n) for r in results] == [
        ("A", 0, 3, 4),
        ("resample-2k", 0, 3, 4),
        ("resample-2k", 1, 3, 4),
    ]
    assert sorted(path.name for path in (tmp_path / "out" / "runs").iterdir()) == CELLS
    budgets = {r.policy.token_budget for r, _, _ in gateway.tasks.values() if not isinstance(r.policy, str)}
    assert budgets == {0, 2048}
    assert len(set(gateway.keys)) == 12
    said = log.getvalue()
    assert "[12/12]" in said
    assert "left of the plan" in said


def test_what_is_done_is_not_done_again(plan_file: Path, tmp_path: Path) -> None:
    gateway, plan = ScriptedGateway(), read_plan(plan_file)
    with gateway.served() as url:
        first = carried_out(plan, tmp_path / "out", url)
        requests = len(gateway.requests)
        grader = FakeGrader()
        again = carried_out(plan, tmp_path / "out", url, grader)
    assert again == first
    assert (len(gateway.requests), grader.graded) == (requests, [])


def test_a_runner_that_dies_in_the_middle_goes_on(plan_file: Path, tmp_path: Path) -> None:
    gateway, plan = ScriptedGateway(), read_plan(plan_file)

    class Killed(BaseException):
        pass

    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps in (5, 9, 14):
            raise Killed

    with gateway.served() as url:
        results = None
        for _ in range(4):
            try:
                results = carried_out(plan, tmp_path / "out", url, FakeGrader(step=step))
            except Killed:
                continue
    assert results is not None
    assert [r.passed for r in results] == [4, 4, 4]
    assert len(gateway.tasks) == 12, "each task was begun once"


def test_a_run_whose_result_a_kill_left_unwritten_or_old_gets_it(plan_file: Path, tmp_path: Path) -> None:
    gateway, plan, runs = ScriptedGateway(), read_plan(plan_file), tmp_path / "out" / "runs"
    with gateway.served() as url:
        results = carried_out(plan, tmp_path / "out", url)
        (runs / CELLS[0] / "result.json").unlink()
        old = results[1].model_copy(update={"passed": 3, "errors": 1})
        (runs / CELLS[1] / "result.json").write_text(old.model_dump_json())
        carried_out(plan, tmp_path / "out", url)
    written = [RunSummary.model_validate_json((runs / cell / "result.json").read_bytes()) for cell in CELLS]
    assert written == results


def test_errors_are_retried_alone(plan_file: Path, tmp_path: Path) -> None:
    gateway, plan = ScriptedGateway(), read_plan(plan_file)
    with gateway.served() as url:
        first = carried_out(plan, tmp_path / "out", url, FakeGrader(broken=1))
        grader = FakeGrader()
        second = carried_out(plan, tmp_path / "out", url, grader)
    assert [sum(r.errors for r in results) for results in (first, second)] == [1, 0]
    assert len(grader.graded) == 1
    assert len(gateway.tasks) == 12


MATCHED = (
    PLAN.replace("seeds = [0, 1]", "seeds = [0]")
    + """
[[conditions]]
policy = "no-plan"
tokens_of = "resample-2k"
"""
)


def test_a_condition_may_spend_what_another_took(plan_file: Path, tmp_path: Path) -> None:
    plan_file.write_text(MATCHED)
    usage = [{"tokens_in": 9, "tokens_out": n, "tokens_cached": 0} for n in (100, 101, 100, 100)]
    names = ("one", "two", "three", "four")
    gateway = ScriptedGateway(script={n: [ended(usage=u)] for n, u in zip(names, usage, strict=True)})
    with gateway.served() as url:
        carried_out(read_plan(plan_file), tmp_path / "out", url)
        again = carried_out(read_plan(plan_file), tmp_path / "out", url)
    asked = [r.policy for r, _, _ in gateway.tasks.values() if not isinstance(r.policy, str)]
    assert {policy.token_budget for policy in asked if policy.name == "no-plan"} == {101}
    assert [result.n for result in again] == [4, 4, 4]
    assert len(gateway.tasks) == 12


def test_a_plan_is_carried_out_slice_by_slice(plan_file: Path, tmp_path: Path) -> None:
    """Each slice in every condition; the budget that another condition set in the first slice stays."""
    plan_file.write_text(MATCHED)
    dear = {"tokens_in": 9, "tokens_out": 500, "tokens_cached": 0}
    cheap = dear | {"tokens_out": 100}
    script = {"one": cheap, "two": cheap, "three": dear, "four": dear}
    gateway = ScriptedGateway(script={name: [ended(usage=usage)] for name, usage in script.items()})
    plan = read_plan(plan_file)
    with gateway.served() as url:
        first = carried_out(plan, tmp_path / "out", url, only=frozenset({"one", "two"}))
        whole = carried_out(plan, tmp_path / "out", url)
        with pytest.raises(BadInput, match="1 of the tasks asked for are none of the plan's, such as five"):
            carried_out(plan, tmp_path / "out", url, only=frozenset({"one", "five"}))
    assert [result.n for result in first] == [2, 2, 2]
    assert [result.n for result in whole] == [4, 4, 4]
    asked = [r.policy for r, _, _ in gateway.tasks.values() if not isinstance(r.policy, str)]
    assert {policy.token_budget for policy in asked if policy.name == "no-plan"} == {100}
    assert len(gateway.tasks) == 12


def test_what_another_took_is_known_when_all_its_tasks_have_a_result(plan_file: Path, tmp_path: Path) -> None:
    plan_file.write_text(MATCHED)
    broken = ended(None, infrastructure=True, error="llama-server is gone")
    gateway = ScriptedGateway(script={"two": [ended(), broken, ended()]})
    with gateway.served() as url:
        with pytest.raises(InfrastructureError, match="1 of its tasks have no result: the same command"):
            carried_out(read_plan(plan_file), tmp_path / "out", url)
        assert [r.n for r in carried_out(read_plan(plan_file), tmp_path / "out", url)] == [4, 4, 4]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("token_budget = 2048", "token_budget = 4096", "cells was"),
        ("seeds = [0, 1]", "seeds = [0, 1, 2]", "cells was"),
        ('dataset = "four.jsonl"', 'dataset = "four.jsonl"\nlimit = 2', "tasks was 4, is 2"),
    ],
)
def test_another_plan_is_refused(plan_file: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    plan = read_plan(plan_file)
    with begun(plan, tmp_path / "out"):
        pass
    plan_file.write_text(PLAN.replace(old, new))
    other = read_plan(plan_file)
    with pytest.raises(Conflict, match=says), begun(other, tmp_path / "out"):
        pass
    with begun(plan, tmp_path / "out"):
        pass


def test_a_changed_data_set_is_refused(plan_file: Path, dataset: Path, tmp_path: Path) -> None:
    plan = read_plan(plan_file)
    with begun(plan, tmp_path / "out"):
        pass
    dataset.write_text(dataset.read_text().replace("CANARY-OUT-73313", "another answer", 1))
    with pytest.raises(Conflict, match="dataset_sha256 was"), begun(plan, tmp_path / "out"):
        pass


def test_one_program_at_a_time(plan_file: Path, tmp_path: Path) -> None:
    plan = read_plan(plan_file)
    with begun(plan, tmp_path / "out"), pytest.raises(Conflict, match="another ablation works"):
        begun(plan, tmp_path / "out").__enter__()


def test_a_gateway_serves_one_model_and_the_right_one(plan_file: Path, tmp_path: Path) -> None:
    with ScriptedGateway(model="another").served() as url:
        with pytest.raises(BadInput, match="serves another, the plan says scripted"):
            carried_out(read_plan(plan_file), tmp_path / "out", url)
        plan_file.write_text(PLAN.replace('["scripted"]', '["scripted", "b"]'))
        with pytest.raises(BadInput, match="one model at most"):
            carried_out(read_plan(plan_file), tmp_path / "two", url)


def test_two_plans_never_share_a_task(plan_file: Path, tmp_path: Path) -> None:
    gateway, plan = ScriptedGateway(), read_plan(plan_file)
    with gateway.served() as url:
        carried_out(plan, tmp_path / "one", url)
        carried_out(plan, tmp_path / "two", url)
    assert len(gateway.tasks) == 24


def test_the_command_takes_a_slice(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps({"first": ["two"], "rest": ["one", "three", "four"]}))
    with ScriptedGateway().served() as url:
        arguments = [str(plan_file), "--dir", str(tmp_path / "out"), "--target", url, "--json"]
        assert command.main([*arguments, "--only", f"{ids}#first"]) == 0
        assert {run["n"] for run in json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]} == {1}
        assert command.main([*arguments, "--only", f"{ids}#rest"]) == 0
        assert {run["n"] for run in json.loads(capsys.readouterr().out.splitlines()[-1])["runs"]} == {4}


def test_the_command(plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real grader, the last line as JSON, and exit codes."""
    with ScriptedGateway(script={"one": [ended("print(2)")]}).served() as url:
        words = [str(plan_file), "--dir", str(tmp_path / "out"), "--target", url, "--json"]
        assert command.main(words) == 0
    out, err = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert [run["n"] for run in result["runs"]] == [4, 4, 4]
    assert result["errors"] == 0
    assert "resample-2k" in err
    assert command.main([str(tmp_path / "none.toml")]) == 1
    assert "cannot read the plan" in capsys.readouterr().err
