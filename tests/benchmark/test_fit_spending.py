"""Fitting the spending rule: finds what tries were drawn from, reads runs, refuses kept-out tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_runs import PINS
from pool_dirs import Draw, write_pool

from atlas.contracts import Example, Execution, Problem, TestResult, Verdict
from atlas.errors import BadInput
from atlas.events import (
    AnyEvent,
    BruteForceChecked,
    BruteForceWritten,
    CommandFailed,
    CommandsIssued,
    Entry,
    TaskSubmitted,
)
from atlas.policy import Policy, Spending
from atlas.spending import TYPICAL, ArmName, Tries, Try, tries, value
from atlas.state import TaskState
from benchmark import fit_spending
from benchmark.fit_spending import Course, Made, fit, fit_arm, fit_models, in_order, main
from benchmark.results import load_journal, load_runs
from benchmark.statistics.beta_binomial import Drawn


def drawn(right: float, wrong: float, tasks: int, k: int, *, stop: bool) -> list[list[tuple[Drawn, int]]]:
    """Tries of tasks whose chances are Beta(right, wrong); `stop`: none after the first that passes."""
    noise = np.random.default_rng(7)
    made = []
    for chance in noise.beta(right, wrong, tasks):
        tries: list[tuple[Drawn, int]] = []
        while len(tries) < k and not (stop and tries and tries[-1][0].passed):
            tries.append((Drawn(bool(noise.random() < chance)), int(noise.integers(50, 151))))
        made.append(tries)
    return made


@pytest.mark.parametrize("stop", [False, True])
def test_it_finds_the_chances_whatever_stopped_the_tries(stop: bool) -> None:
    arm, facts = fit_arm(drawn(0.6, 1.4, 3000, 12, stop=stop))
    assert arm.right == pytest.approx(0.6, rel=0.15)
    assert arm.wrong == pytest.approx(1.4, rel=0.15)
    assert arm.tokens == pytest.approx(100, rel=0.03)
    assert facts.tasks == 3000
    assert facts.log_likelihood > facts.pooled, "tasks differ, and a prior over them knows it"


def test_the_fitted_prior_predicts_the_next_try_after_failures() -> None:
    """What `value` uses it for: of tasks whose first three tries failed, how many pass with the fourth."""
    made = drawn(0.6, 1.4, 6000, 4, stop=False)
    arm, _ = fit_arm(made)
    failed = [each for each in made if not any(t.passed for t, _ in each[:3])]
    share = sum(each[3][0].passed for each in failed) / len(failed)
    dear = [Try(False, round(arm.tokens))] * 3
    assert value(arm, dear) * arm.tokens == pytest.approx(share, abs=0.02)


def test_tasks_that_are_all_alike_have_a_prior_too() -> None:
    for passed in (False, True):
        arm, _ = fit_arm([[(Drawn(passed), 10)] * 4] * 20)
        assert (arm.right > arm.wrong) == passed
        assert arm.right + arm.wrong < 500, "the fit is finite, and not at an edge"


def course(passed: dict[ArmName, list[bool]], characters: int = TYPICAL, model: str = "") -> Course:
    made = [Made(arm, Try(each, 10)) for arm, tried in passed.items() for each in tried]
    return Course(made, characters, model)


@pytest.mark.parametrize(("depends", "least", "most"), [(True, 0.6, 1.0), (False, 0.0, 0.3)])
def test_how_far_failures_of_samples_tell_of_repairs(depends: bool, least: float, most: float) -> None:
    """Repairs of one chance with the samples share their failures; those with their own chance do not."""
    noise = np.random.default_rng(1)
    made = []
    for _ in range(1500):
        chance = noise.beta(0.5, 1.0)
        mended = chance if depends else noise.beta(0.5, 1.0)
        k = int(noise.integers(1, 9))  # were it always the same, nothing would tell the two apart
        samples, repairs = noise.random(k) < chance, noise.random(3) < mended
        if samples.any():  # the first that passes ends the task
            made.append(course({"sample": [False] * int(samples.argmax()) + [True]}))
        else:
            made.append(course({"sample": [False] * k, "repair": repairs.tolist()}))
    shared, length, arms = fit(made)
    assert length == 0, "all statements are as long"
    assert least <= shared <= most
    assert set(arms) == {"sample", "repair"}, "nothing followed a plan"


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_how_much_a_long_statement_counts(power: float) -> None:
    noise = np.random.default_rng(3)
    made = []
    for characters in noise.integers(100, 2500, 1200).tolist():
        chance = noise.beta(0.8, 1.0 * (characters / TYPICAL) ** power)
        made.append(
            course({arm: (noise.random(4) < chance).tolist() for arm in ("sample", "repair")}, characters)
        )
    _, length, arms = fit(made)
    assert length == pytest.approx(power, abs=0.25)
    assert arms["sample"][0].wrong == pytest.approx(1.0, rel=0.3), "of a statement of 500 characters"


def test_each_model_has_priors_of_its_own_where_its_tasks_tell_them() -> None:
    weak = [course({"sample": [False, n == 0], "repair": [False]}, model="weak") for n in range(20)]
    strong = [course({"sample": [n > 0]}, model="strong") for n in range(20)]
    repaired = [course({"sample": [False], "repair": [True]}, model="strong")] * 9
    done = [*weak, *strong, *repaired]
    of_all = fit(done)[2]
    assert fit_models(weak, 0.0, 0.0, of_all) == {}, "one model's priors are those of all"
    own = fit_models(done, 0.0, 0.0, of_all)
    assert own["weak"]["sample"][1].passed == 1
    assert own["strong"]["sample"][1].passed == 19
    assert own["weak"]["repair"][1].tasks == 20
    assert own["strong"]["repair"] == of_all["repair"], "9 tasks of its own are too few"


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(BadInput, match="9 tasks of these runs have repairs"):
        fit([course({"sample": [True], "repair": [True]})] * 9 + [course({"sample": [True]})] * 20)


def test_outcomes_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", {"t": [Draw("1", passes=False), Draw("2", passes=True)]})
    (run,) = load_runs([pool])
    (result,) = run.graded
    order = in_order(load_journal(result))
    assert [(each.arm, each.tried.name, each.tried.passed) for each in order] == [
        ("sample", "c0", False),
        ("sample", "c1", True),
    ]


def test_a_brute_force_program_is_a_try_from_when_it_was_checked() -> None:
    problem = Problem(statement="Echo it.", examples=(Example(input="1", output="1"),))
    policy = Policy(name="p", k=2, repairs=1, self_tests=2, brute_forces=2)
    ran = Execution(results=(TestResult(verdict=Verdict.WRONG_ANSWER),) * 2, isolation="fake", seconds=0.0)
    events: list[AnyEvent] = [
        TaskSubmitted(problem=problem, policy=policy, pins=PINS, deadline_s=60),
        CommandsIssued(ids=("brute_force:0",)),
        BruteForceWritten(command="brute_force:0", program="b0", code="slow"),
        CommandsIssued(ids=("check:b0", "brute_force:1")),
        BruteForceChecked(command="check:b0", program="b0", execution=ran),
        CommandFailed(command="brute_force:1", reason="bad_output"),
    ]
    entries = [Entry(seq=n, time=0.0, event=event) for n, event in enumerate(events, start=1)]
    assert [(each.arm, each.tried.name) for each in in_order(entries[:4])] == []
    assert [(each.arm, each.tried.name) for each in in_order(entries[:5])] == [("brute_force", "b0")]
    assert [(each.arm, each.tried.name) for each in in_order(entries)] == [
        ("brute_force", "b0"),
        ("brute_force", "b1"),
    ]


def test_a_pool_without_repairs_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = write_pool(tmp_path / "pool", {f"t{i}": [Draw("1", passes=i % 2 == 0)] * 3 for i in range(12)})
    assert main([str(pool)]) == 1
    assert "0 tasks of these runs have repairs" in capsys.readouterr().err


def test_the_result_is_what_a_policy_pins_with_where_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = write_pool(tmp_path / "pool", {f"t{i}": [Draw("1", passes=i % 2 == 0)] * 3 for i in range(12)})

    def repaired(state: TaskState) -> Tries:
        return {**tries(state), "repair": (Try(True, 30, "r0"), Try(False, 50, "r1"))}

    monkeypatch.setattr(fit_spending, "tries", repaired)
    assert main([str(pool), "--json", "--out", str(tmp_path / "out.json")]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == json.loads((tmp_path / "out.json").read_text())
    spending = Spending.model_validate(said["spending"])
    assert (spending.sample.tokens, spending.repair.tokens) == (5, 40)
    assert said["arms"]["sample"]["tries"] == 36
    assert said["arms"]["sample"]["passed"] == 18
    assert said["models"] == ["m"]
    assert said["spending_of"] == {}
    (tmp_path / "ids.json").write_text(json.dumps(["t3"]))
    assert main([str(pool), "--not-in", str(tmp_path / "ids.json")]) == 1
    assert "nothing is fitted to them" in capsys.readouterr().err
