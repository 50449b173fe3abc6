"""The conditions as people and programs see them: all there, and what each lacks by its name."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from runner_bench import four_problems, hasten, options_for, run, two_is_wrong

from atlas.policy import POLICIES, Part, Policy
from benchmark import v3_runner
from benchmark.conditions import Conditions, lacks, listing
from benchmark.run_summary import table
from benchmark.v3_runner import Options
from tests.support.scripted_gateway import ScriptedGateway

hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
options = pytest.fixture(options_for)
scripted = pytest.fixture(two_is_wrong)


def test_the_ablation_and_its_controls_are_listed_with_what_they_lack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert v3_runner.main(["--list-conditions"]) == 0
    said = capsys.readouterr().out
    entries = said.split("\n")
    names = [line.split()[0] for line in entries if line[:1].strip()]
    assert names == [
        "A",
        "B",
        "C",
        "D",
        "E",
        "self-tests",
        "thinking-tiers",
        "resample",
        "div-sampling",
        "no-plan",
        "self-consistency",
        "blend-asc",
        "reasc",
        "full",
    ]
    after = {line.split()[0]: below for line, below in pairwise(entries) if line[:1].strip()}
    for condition in listing().conditions:
        for part in condition.missing:
            assert part.value in after[condition.name]
    assert "lens" in after["C"]
    assert "not built" not in after["A"]


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert v3_runner.main(["--list-conditions", "--json"]) == 0
    read = Conditions.model_validate_json(capsys.readouterr().out)
    assert read == listing()
    assert [c.policy for c in read.conditions] == list(POLICIES.values())


def test_the_conditions_differ_by_what_each_phase_adds() -> None:
    needs = {name: set(policy.needs) for name, policy in POLICIES.items()}
    assert needs["A"] == set()
    assert needs["B"] == {Part.PLAN_SEARCH, Part.DIV_SAMPLING, Part.BUDGET_FORCING}
    assert needs["C"] - needs["B"] == {Part.LENS}
    assert needs["D"] - needs["B"] == {Part.PR_COT, Part.REFINEMENT}
    assert needs["self-tests"] - needs["B"] == {Part.SELF_TESTS, Part.PR_COT}
    assert needs["E"] == needs["C"] | needs["D"]
    assert needs["self-consistency"] == {Part.OUTPUT_AGREEMENT}
    for control in ("resample", "no-plan", "self-consistency"):
        assert POLICIES[control].token_budget == POLICIES["D"].token_budget > 0
        assert POLICIES[control].plans == POLICIES[control].repairs == 0


def test_a_run_says_what_its_condition_lacks(options: Options, scripted: ScriptedGateway) -> None:
    log = io.StringIO()
    result = run(replace(options, condition="C"), scripted, log=log)
    assert result.missing == (Part.BUDGET_FORCING, Part.LENS)
    lacking = "only for a model with weights: lens; only for a model that thinks: budget_forcing"
    assert f"C may run without a part of it: {lacking}" in log.getvalue()
    rows = list(table(result).columns[1].cells)
    assert lacks(result.missing) == lacking
    assert lacking in rows
    whole = run(replace(options, condition="A", run_id="r2"), scripted, log=(log := io.StringIO()))
    assert whole.missing == ()
    assert "run without" not in log.getvalue()


def test_the_budget_of_a_run_replaces_the_policys(
    options: Options, scripted: ScriptedGateway, tmp_path: Path
) -> None:
    run(replace(options, condition="resample", token_budget=777), scripted)
    asked = [json.loads(body)["policy"] for body in scripted.bodies]
    assert {policy["token_budget"] for policy in asked} == {777}
    assert Policy.model_validate(asked[0] | {"token_budget": 8192}) == POLICIES["resample"]
