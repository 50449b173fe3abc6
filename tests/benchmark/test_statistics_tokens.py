"""Equal tokens and the accuracy-per-token curve, against counting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics import (
    Replicate,
    Submission,
    compare_at_tokens,
    paired_difference,
    token_curve,
    within,
)

submissions = st.lists(st.builds(Submission, st.booleans(), st.integers(0, 300)), min_size=1, max_size=40)


def run(results: list[Submission], model: str = "m", seed: int = 0) -> Replicate:
    return Replicate({f"t{i:04}": each for i, each in enumerate(results)}, model, seed)


A = run([Submission(True, 100), Submission(True, 400), Submission(False, 90), Submission(True, 50)])
B = run([Submission(True, 900), Submission(True, 200), Submission(True, 300), Submission(False, 40)])


def test_what_came_later_is_not_solved() -> None:
    assert [one.passed for one in within(A, 100).results.values()] == [True, False, False, True]
    assert [one.passed for one in within(A, 99).results.values()] == [False, False, False, True]


def test_two_conditions_at_the_same_tokens() -> None:
    seen = compare_at_tokens([A], [B], 300)
    assert (seen.difference.rate_a, seen.difference.rate_b) == (0.5, 0.5)
    assert (seen.difference.a_only, seen.difference.b_only) == (2, 2)
    assert (seen.mean_a, seen.mean_b) == ((100 + 300 + 90 + 50) / 4, (300 + 200 + 300 + 40) / 4)
    assert (seen.cut_a, seen.cut_b) == (0.25, 0.25)
    with pytest.raises(ValueError, match="negative"):
        compare_at_tokens([A], [B], -1)


def test_at_the_hard_budget_of_both_it_is_the_plain_comparison() -> None:
    assert compare_at_tokens([A], [B], 900).difference == paired_difference([A], [B])


@settings(deadline=None)
@given(submissions)
def test_the_curve_is_a_staircase_of_counts_under_which_the_area_lies(results: list[Submission]) -> None:
    curve = token_curve([run(results)], resamples=50)
    n = len(results)
    for point in curve.points:
        solved = sum(one.passed and one.tokens <= point.tokens for one in results)
        assert point.rate == pytest.approx(solved / n)
        assert point.low <= point.rate + 1e-9
        assert point.high >= point.rate - 1e-9 or solved == n
    rates = [point.rate for point in curve.points]
    assert rates == sorted(rates)
    assert (curve.points[0].tokens, curve.points[-1].tokens) == (0, curve.tokens)
    assert rates[-1] == pytest.approx(sum(one.passed for one in results) / n)
    below = sum(
        here.rate * (there.tokens - here.tokens)
        for here, there in zip(curve.points, curve.points[1:], strict=False)
    )
    assert curve.area == pytest.approx(below / curve.tokens)


def test_a_curve_ends_where_it_is_told() -> None:
    curve = token_curve([A], tokens=100)
    assert [point.tokens for point in curve.points] == [0, 50, 100]
    assert [point.rate for point in curve.points] == [0.0, 0.25, 0.5]
    assert curve.area == pytest.approx(0.125)
    assert [point.rate for point in token_curve([A], tokens=1000).points][-1] == 0.75
    with pytest.raises(ValueError, match="at least 1"):
        token_curve([A], tokens=0)


def test_a_curve_over_seeds_and_models_is_of_each_tasks_mean() -> None:
    other = run([Submission(False, 1)] * 4, seed=1)
    curve = token_curve([A, other, run([Submission(True, 10)] * 4, "m2")], tokens=400, resamples=200)
    assert [point.rate for point in curve.points] == pytest.approx([0, 0.5, 0.5625, 0.625, 0.6875])
    assert curve.n == 4


def test_a_long_curve_is_shown_at_a_few_hundred_of_its_steps() -> None:
    curve = token_curve([run([Submission(True, i) for i in range(1, 1001)])], resamples=50)
    assert len(curve.points) == 200
    assert curve.points[-1].rate == 1.0
    assert curve.area == pytest.approx(0.5, abs=0.01)


def test_the_band_narrows_with_more_tasks() -> None:
    few = token_curve([run([Submission(i % 2 == 0, 10) for i in range(20)])])
    many = token_curve([run([Submission(i % 2 == 0, 10) for i in range(400)])], tokens=40)
    width = few.points[-1].high - few.points[-1].low
    assert 0.3 < width < 0.55
    assert many.points[-1].high - many.points[-1].low == pytest.approx(width / 20**0.5, rel=0.3)
    assert many.area_interval.low < many.area < many.area_interval.high
