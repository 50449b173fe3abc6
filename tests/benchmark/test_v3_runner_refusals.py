"""The runner refuses what would mix two measurements, and says why: another configuration, policy, model."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from runner_bench import INFRASTRUCTURE, first, four_problems, hasten, options_for, run, stored, two_is_wrong

from atlas.errors import BadInput, Conflict, StartupError
from benchmark.v3_runner import Options
from tests.support.scripted_gateway import Answer, ScriptedGateway, ended

hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
options = pytest.fixture(options_for)
scripted = pytest.fixture(two_is_wrong)


def test_another_configuration_under_the_same_name_is_refused(
    options: Options, scripted: ScriptedGateway
) -> None:
    run(first(options, 2), scripted)
    with pytest.raises(Conflict, match="tasks was 2, is 3"):
        run(first(options, 3), scripted)
    with pytest.raises(Conflict, match="seed was 0, is 1"):
        run(replace(first(options, 2), seed=1), scripted)


def test_another_policy_of_the_same_name_is_refused(options: Options, scripted: ScriptedGateway) -> None:
    scripted.script["four"] = [INFRASTRUCTURE["cancelled"]]
    run(options, scripted)
    scripted.policies = [policy.model_copy(update={"k": 9}) for policy in scripted.policies]
    with pytest.raises(Conflict, match=r"policy\.k was 8, is 9"):
        run(options, scripted)


def test_another_model_is_refused_and_its_task_cancelled(options: Options, scripted: ScriptedGateway) -> None:
    scripted.script["four"] = [INFRASTRUCTURE["cancelled"], ended(status="running", program=None), ended()]
    run(options, scripted)

    def replaced(when: str, method: str, path: str) -> None:
        if method == "POST":  # the runner has begun: it has asked what is served
            scripted.model = "another"

    scripted.hook = replaced
    with pytest.raises(Conflict, match="model was 'scripted', is 'another'"):
        run(options, scripted)
    scripted.hook = None
    assert [view.status for _, view, _ in scripted.tasks.values()][-1] == "cancelled"
    scripted.model = "scripted"
    result = run(options, scripted)
    assert (result.n, result.errors, result.model) == (4, 0, "scripted")
    assert [attempt.attempt for attempt in stored(options, "four").earlier] == [1, 2]


def test_another_model_is_refused_before_anything_is_submitted(
    options: Options, scripted: ScriptedGateway
) -> None:
    scripted.script["four"] = [INFRASTRUCTURE["cancelled"], ended()]
    run(options, scripted)
    tasks = len(scripted.tasks)
    scripted.model = "another"
    with pytest.raises(Conflict, match="another model server: model was 'scripted', is 'another'"):
        run(options, scripted)
    assert len(scripted.tasks) == tasks


def test_an_unknown_condition_lists_those_there_are(options: Options, scripted: ScriptedGateway) -> None:
    with pytest.raises(BadInput, match="no policy 'Z' for --condition; there are: A, B"):
        run(replace(options, condition="Z"), scripted)
    assert options.runs_dir
    assert not (options.runs_dir / "r1").exists()


def test_a_target_that_does_not_answer(options: Options, scripted: ScriptedGateway) -> None:
    def hook(*_: str) -> Answer | None:
        raise httpx.ConnectError("refused")

    scripted.hook = hook
    with pytest.raises(StartupError, match="no gateway answers at http://gateway"):
        run(options, scripted)
