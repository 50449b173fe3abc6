"""Fitting the spending rule: finds what tries were drawn from, reads runs, refuses kept-out tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pool_dirs import Draw, write_pool

from atlas.errors import BadInput
from atlas.policy import Spending
from atlas.spending import Tries, Try, tries, value
from atlas.state import TaskState
from benchmark import fit_spending
from benchmark.fit_spending import fit_arm, main


def drawn(right: float, wrong: float, tasks: int, k: int, *, stop: bool) -> list[list[Try]]:
    """Tries of tasks whose chances are Beta(right, wrong); `stop`: none after the first that passes."""
    noise = np.random.default_rng(7)
    made = []
    for chance in noise.beta(right, wrong, tasks):
        tries: list[Try] = []
        while len(tries) < k and not (stop and tries and tries[-1].passed):
            tries.append(Try(bool(noise.random() < chance), int(noise.integers(50, 151))))
        made.append(tries)
    return made


@pytest.mark.parametrize("stop", [False, True])
def test_it_finds_the_chances_whatever_stopped_the_tries(stop: bool) -> None:
    arm, facts = fit_arm("samples", drawn(0.6, 1.4, 3000, 12, stop=stop))
    assert arm.right == pytest.approx(0.6, rel=0.15)
    assert arm.wrong == pytest.approx(1.4, rel=0.15)
    assert arm.tokens == pytest.approx(100, rel=0.03)
    assert facts.tasks == 3000
    assert facts.log_likelihood > facts.pooled, "tasks differ, and a prior over them knows it"


def test_the_fitted_prior_predicts_the_next_try_after_failures() -> None:
    """What `value` uses it for: of tasks whose first three tries failed, how many pass with the fourth."""
    made = drawn(0.6, 1.4, 6000, 4, stop=False)
    arm, _ = fit_arm("samples", made)
    failed = [each for each in made if not any(t.passed for t in each[:3])]
    share = sum(each[3].passed for each in failed) / len(failed)
    dear = [Try(False, round(arm.tokens))] * 3
    assert value(arm, dear) * arm.tokens == pytest.approx(share, abs=0.02)


def test_tasks_that_are_all_alike_have_a_prior_too() -> None:
    for passed in (False, True):
        arm, _ = fit_arm("samples", [[Try(passed, 10)] * 4] * 20)
        assert (arm.right > arm.wrong) == passed
        assert arm.right + arm.wrong < 500, "the fit is finite, and not at an edge"


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(BadInput, match="9 tasks of these runs have repairs"):
        fit_arm("repairs", [[Try(True, 1)]] * 9 + [[]] * 20)


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
        return Tries(tries(state).samples, (Try(True, 30), Try(False, 50)))

    monkeypatch.setattr(fit_spending, "tries", repaired)
    assert main([str(pool), "--json", "--out", str(tmp_path / "out.json")]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == json.loads((tmp_path / "out.json").read_text())
    spending = Spending.model_validate(said["spending"])
    assert (spending.sample.tokens, spending.repair.tokens) == (5, 40)
    assert said["sample"]["tries"] == 36
    assert said["sample"]["passed"] == 18
    assert said["models"] == ["m"]
    (tmp_path / "ids.json").write_text(json.dumps(["t3"]))
    assert main([str(pool), "--not-in", str(tmp_path / "ids.json")]) == 1
    assert "nothing is fitted to them" in capsys.readouterr().err
