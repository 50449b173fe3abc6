"""How selectors are scored on pools: by what would be handed in, with ties by expectation."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pool_dirs import Draw, write_pool

from atlas.errors import BadInput, InfrastructureError
from benchmark.selection.__main__ import main
from benchmark.selection.lens import Lens
from benchmark.selection.pools import load_pools
from benchmark.selection.selectors import Scored, score
from benchmark.selection.summary import summarise
from benchmark.statistics.calibration import BINS, equal_mass_bins
from benchmark.statistics.resampling import bootstrap_ratio
from services.lens.routes import router
from tests.support.selector_weights import weigh

RIGHT, WRONG = Draw("right", right=True, logprob=-0.9), Draw("wrong", logprob=-0.2)
CASES = {
    # The majority is right, the surest is not.
    "agree": [RIGHT, WRONG, RIGHT, Draw("other", passes=False)],
    # Nobody is right.
    "hopeless": [Draw("a", passes=False), Draw("b", passes=False), Draw("c"), Draw("d", code=None)],
    "all": [RIGHT, RIGHT, RIGHT, RIGHT],
}


@pytest.fixture
def lens() -> Lens:
    app = FastAPI()
    app.include_router(router)
    return Lens("http://lens", transport=httpx.ASGITransport(app=app))


async def scored(directory: Path, lens: Lens, k: int | None = None) -> dict[str, Scored]:
    return {task.task: await score(lens, task) for task in load_pools([directory], k)}


async def test_each_selector_is_scored_by_what_it_would_hand_in(
    tmp_path: Path, lens: Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh(monkeypatch, examples_passed=2.0, size_share=1.0, log_independent=1.0)
    found = await scored(write_pool(tmp_path / "p", CASES), lens)
    agree = found["agree"]
    assert (agree.pass_at_1, agree.oracle) == (0.5, 1.0)
    assert agree.scores["random"] == 0.5
    assert agree.scores["logprob"] == 0.0
    assert agree.scores["examples"] == pytest.approx(2 / 3), "one of the three that pass, by expectation"
    assert agree.scores["majority"] == agree.scores["full"] == 1.0
    assert agree.comparison == "compared"
    hopeless = found["hopeless"]
    assert set(hopeless.scores.values()) == {0.0}
    assert (hopeless.pass_at_1, hopeless.oracle) == (0.0, 0.0)
    assert hopeless.comparison == "one_program"
    assert set(found["all"].scores.values()) == {1.0}
    assert found["all"].confidence > agree.confidence > hopeless.confidence
    await lens.aclose()


async def test_fewer_candidates_are_the_first_ones(tmp_path: Path, lens: Lens) -> None:
    found = await scored(write_pool(tmp_path / "p", CASES), lens, k=1)
    assert found["agree"].pass_at_1 == found["agree"].oracle == 1.0
    assert len(found["agree"].task.candidates) == 1


async def test_the_summary_has_the_recovered_share_of_the_gap(
    tmp_path: Path, lens: Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh(monkeypatch, size_share=1.0)
    found = await scored(write_pool(tmp_path / "p", CASES), lens)
    summary = summarise(list(found.values()))
    assert (summary.n_tasks, summary.n_mixed, summary.k) == (3, 1, 4)
    assert summary.pass_at_1 == pytest.approx(0.5)
    assert summary.oracle == pytest.approx(2 / 3)
    assert summary.selectors["full"].recovered == pytest.approx(1.0)
    assert summary.selectors["random"].recovered == pytest.approx(0.0)
    assert summary.selectors["logprob"].recovered == pytest.approx(-1.0)
    assert [(d.minus, round(d.difference, 3)) for d in summary.full_minus] == [
        ("examples", round(1 / 9, 3)),
        ("majority", 0.0),
    ]
    assert summary.by_model["m"].n == 3
    assert {name: of.n for name, of in summary.by_comparison.items()} == {"compared": 1, "one_program": 2}
    assert sum(each.n for each in summary.bins) == 3
    assert summary.brier == pytest.approx(
        sum((each.confidence - each.scores["full"]) ** 2 for each in found.values()) / 3
    )


def test_a_program_without_a_grade_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"c0 of task 'agree' has no grade.*benchmark\.regrade"):
        load_pools([write_pool(tmp_path / "p", CASES, graded=False)])


async def test_a_lens_that_refuses_or_is_away_is_an_error(tmp_path: Path) -> None:
    (task, *_) = load_pools([write_pool(tmp_path / "p", CASES)])
    away = Lens("http://lens", transport=httpx.MockTransport(lambda _: httpx.Response(503, text="busy")))
    with pytest.raises(InfrastructureError, match="busy"):
        await score(away, task)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_every_decision_once_in_order(decisions: list[tuple[float, bool]]) -> None:
    bins = equal_mass_bins([c for c, _ in decisions], [float(r) for _, r in decisions])
    assert sum(each.n for each in bins) == len(decisions)
    assert max(each.n for each in bins) - min(each.n for each in bins) <= 1
    assert len(bins) == min(BINS, len(decisions))
    means = [each.confidence for each in bins]
    assert all(a <= b + 1e-9 for a, b in pairwise(means))
    right = sum(each.n * each.right for each in bins)
    assert right == pytest.approx(sum(r for _, r in decisions))


def test_a_ratio_is_resampled_by_task() -> None:
    low, high = bootstrap_ratio([0.5] * 30, [1.0] * 30)
    assert low == high == 0.5
    low, high = bootstrap_ratio([1.0, 0.0] * 30, [1.0] * 60)
    assert 0.3 < low < 0.5 < high < 0.7
    with pytest.raises(ValueError, match="no ratio"):
        bootstrap_ratio([0.0], [0.0])


@pytest.mark.integration
def test_the_command_starts_a_lens_and_prints_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = write_pool(tmp_path / "p", CASES)
    picture = tmp_path / "selection.svg"
    assert main([str(pool), "--json", "--plot", str(picture)]) == 0
    drawn = picture.read_text()
    assert drawn.startswith("<svg ")
    for name in ("shortest", "majority", "full", "oracle", "confidence"):
        assert name in drawn
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["n_tasks"] == 3
    assert result["selectors"]["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert 0 <= result["selectors"]["full"]["accuracy"] <= 2 / 3, "with the weights that ship"
    assert main([str(tmp_path / "nothing")]) == 1
    assert main([str(pool), "--plot", str(tmp_path / "nowhere" / "x.svg")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err
