"""Prices of the spending rule: recorded tries, each once, in its order, until one passes or none pays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.policy import Arm, Spending
from atlas.spending import ARMS, ArmName, Tries, Try
from benchmark.spending_prices import PRICES, Recorded, merged, play, played

EVEN = Arm(right=1, wrong=1, tokens=100)
SPENDING = Spending(sample=EVEN, brute_force=Arm(right=3, wrong=1, tokens=100), repair=EVEN)


def recorded(characters: int = 500, **tries: str) -> Recorded:
    """Tries of 100 tokens each, by their outcomes: `+` passes."""
    of_arm: dict[ArmName, tuple[Try, ...]] = {
        arm: tuple(Try(each == "+", 100, f"{arm}{n}") for n, each in enumerate(tries.get(arm, "")))
        for arm in ARMS
    }
    return Recorded("m", of_arm, characters)


@pytest.mark.parametrize(
    ("task", "price", "budget", "end"),
    [
        (recorded(sample="+", brute_force="+"), 0.0, 1000, (True, 100)),
        (recorded(sample="--+", brute_force="+"), 0.0, 1000, (True, 200)),
        (recorded(sample="-+", brute_force="-"), 0.0, 1000, (True, 300)),
        (recorded(sample="---"), 0.0, 1000, (False, 300)),
        (recorded(sample="---"), 0.0, 263, (False, 200)),
        (recorded(sample="---"), 0.0, 264, (False, 300)),
        (recorded(sample="---"), 0.003, 1000, (False, 200)),
        (recorded(sample="---", characters=1), 0.003, 1000, (False, 200)),
        (recorded(brute_force="+"), 0.0, 1000, (False, 0)),
    ],
)
def test_tries_come_in_the_rules_order(
    task: Recorded, price: float, budget: int, end: tuple[bool, int]
) -> None:
    assert play(SPENDING, task, price, budget) == end


outcomes = st.text("+-", max_size=6)


@given(outcomes, outcomes, outcomes)
def test_a_higher_price_passes_no_more_and_spends_no_more(sample: str, brute: str, repair: str) -> None:
    task = recorded(sample=sample, brute_force=brute, repair=repair)
    ends = [play(SPENDING, task, price, 2000) for price in PRICES]
    assert [end[0] for end in ends] == sorted((end[0] for end in ends), reverse=True)
    assert [end[1] for end in ends] == sorted((end[1] for end in ends), reverse=True)


def test_what_two_runs_share_is_one_try() -> None:
    first, second, other = Try(False, 10, "c0"), Try(False, 20, "c1"), Try(True, 10, "c0")
    tries: Tries = merged([[("sample", first), ("repair", second)], [("sample", first), ("sample", other)]])
    assert tries["sample"] == (first, other)
    assert tries["repair"] == (second,)


def test_each_model_is_played_at_each_price() -> None:
    tasks = [recorded(sample="+"), recorded(sample="-+"), recorded(repair="+")]
    rows = played(SPENDING, tasks, 1000)
    assert [row.price for row in rows] == list(PRICES)
    assert (rows[0].model, rows[0].tasks, rows[0].passed, rows[0].tokens) == ("m", 2, 2, 150)


def test_a_models_own_priors_are_played() -> None:
    """A brute-force program before the second sample, or after it."""
    never = SPENDING.model_copy(update={"brute_force": Arm(right=1, wrong=900, tokens=100)})
    tasks = [recorded(sample="-+", brute_force="-")]
    assert played(SPENDING, tasks, 1000)[0].tokens == 300
    assert played(SPENDING, tasks, 1000, {"m": never})[0].tokens == 200
    assert played(SPENDING, tasks, 1000, {"another": never})[0].tokens == 300
