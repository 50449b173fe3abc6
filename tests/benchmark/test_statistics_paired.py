"""Paired comparisons and pools: against closed forms, by symmetry, and by how often the interval covers."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics import (
    Replicate,
    Submission,
    bootstrap_mean,
    mcnemar,
    paired_difference,
    pooled_rate,
    sign_flip,
    wilson_interval,
)

QUICK = 400  # resamples, where the interval itself is not what is tested


def run(passed: list[bool], model: str = "m", seed: int = 0) -> Replicate:
    return Replicate({f"t{i:04}": Submission(p) for i, p in enumerate(passed)}, model, seed)


def pairs(a_only: int, b_only: int, both: int, neither: int) -> tuple[Replicate, Replicate]:
    a = [True] * a_only + [False] * b_only + [True] * both + [False] * neither
    b = [False] * a_only + [True] * b_only + [True] * both + [False] * neither
    return run(a), run(b)


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


# ---------------------------------------------------------------- McNemar


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_its_closed_form(a: int, b: int) -> None:
    n, k = a + b, min(a, b)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_mcnemar_known_values() -> None:
    """Upstream's own pairs: A to B +86/-12, B to C +43/-43 (upstream's data, re-analysed)."""
    assert mcnemar(12, 86) == pytest.approx(6.4e-15, rel=0.1)
    assert mcnemar(43, 43) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == pytest.approx(0.0625)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


# ---------------------------------------------------------------- sign flips


@given(outcomes)
def test_flipping_signs_of_single_runs_is_mcnemar(both: list[tuple[bool, bool]]) -> None:
    differences = [Fraction(b - a) for a, b in both]
    a_only, b_only = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
    assert sign_flip(differences) == pytest.approx(mcnemar(a_only, b_only))


@settings(max_examples=40)
@given(st.lists(st.sampled_from([Fraction(i, 6) for i in range(-6, 7)]), min_size=1, max_size=8))
def test_flipping_signs_is_the_count_over_all_of_them(differences: list[Fraction]) -> None:
    seen = abs(sum(differences))
    far = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen
        for signs in product((-1, 1), repeat=len(differences))
    ]
    assert sign_flip(differences) == pytest.approx(sum(far) / len(far))


# ---------------------------------------------------------------- the difference


@settings(deadline=None)
@given(outcomes)
def test_a_difference_is_that_of_the_rates_and_turns_round(both: list[tuple[bool, bool]]) -> None:
    a, b = run([x for x, _ in both]), run([y for _, y in both])
    there, back = (paired_difference([x], [y], resamples=QUICK) for x, y in ((a, b), (b, a)))
    assert there.difference == pytest.approx(there.rate_b - there.rate_a)
    assert there.a_only + there.b_only + there.both + there.neither == there.n == len(both)
    assert there.interval.low <= there.difference <= there.interval.high
    assert there.interval.low >= -1
    assert there.interval.high <= 1
    assert (back.difference, back.p_value) == pytest.approx((-there.difference, there.p_value))
    assert (back.a_only, back.b_only) == (there.b_only, there.a_only)
    assert there.sd**2 == pytest.approx(there.discordance - there.difference**2)


def test_the_interval_is_near_its_normal_approximation() -> None:
    a, b = pairs(30, 60, 100, 110)
    seen = paired_difference([a], [b])
    assert seen.difference == pytest.approx(0.1)
    half = 1.96 * seen.sd / 300**0.5
    assert tuple(seen.interval) == pytest.approx((0.1 - half, 0.1 + half), abs=0.004)
    assert (seen.test, seen.p_value) == ("mcnemar", mcnemar(30, 60))
    assert paired_difference([a], [b]) == seen, "the same seed gives the same interval"


def test_tasks_that_never_differ_leave_room_for_some_that_would() -> None:
    a, b = pairs(0, 0, 10, 20)
    seen = paired_difference([a], [b])
    room = 1 - 0.025 ** (1 / 30)
    assert (seen.difference, seen.p_value) == (0.0, 1.0)
    assert tuple(seen.interval) == pytest.approx((-room, room))
    a, b = pairs(0, 5, 0, 0)
    seen = paired_difference([a], [b])
    assert seen.interval.high == 1.0
    assert seen.interval.low == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / 5)))


@pytest.mark.parametrize(("n", "a_only", "b_only"), [(30, 0.1, 0.1), (60, 0.05, 0.15), (200, 0.03, 0.08)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    n: int, a_only: float, b_only: float
) -> None:
    rng, covered, repeats = np.random.default_rng(5), 0, 500
    for _ in range(repeats):
        counts = rng.multinomial(n, [a_only, b_only, 1 - a_only - b_only])
        values = np.repeat([-1.0, 1.0, 0.0], counts).tolist()
        low, high = bootstrap_mean(values, (-1, 1), resamples=1000)
        covered += low - 1e-9 <= b_only - a_only <= high + 1e-9
    assert 0.92 <= covered / repeats <= 0.98


def test_only_tasks_with_a_result_on_both_sides_count() -> None:
    a = Replicate({"x": Submission(True), "y": Submission(False), "z": Submission(True)})
    b = Replicate({"y": Submission(True), "z": Submission(True), "w": Submission(False)})
    seen = paired_difference([a], [b], resamples=QUICK)
    assert (seen.n, seen.left_out, seen.difference) == (2, 2, 0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="no task"):
        paired_difference([Replicate({"x": Submission(True)})], [Replicate({"y": Submission(True)})])
    with pytest.raises(ValueError, match="no run"):
        pooled_rate([])
    with pytest.raises(ValueError, match="same models; only one side has: m2"):
        paired_difference([run([True])], [run([True]), run([True], "m2")])
    with pytest.raises(ValueError, match="nothing"):
        bootstrap_mean([], (0, 1))
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_mean([1.0], (0, 1), confidence=95)


# ---------------------------------------------------------------- pools


def test_more_seeds_are_not_more_tasks() -> None:
    """The same run ten times says no more than once."""
    a, b = pairs(3, 10, 20, 17)
    once = paired_difference([a], [b])
    ten = paired_difference([a._replace(seed=i) for i in range(10)], [b._replace(seed=i) for i in range(10)])
    assert (ten.n, ten.difference, ten.test) == (50, once.difference, "sign_flip")
    assert (ten.interval, ten.sd) == (once.interval, once.sd)
    assert ten.p_value == pytest.approx(once.p_value)


def test_a_pool_averages_a_tasks_seeds_within_its_model_first() -> None:
    a = [run([True, False]), run([False, False], seed=1), run([False, True], "m2")]
    b = [run([True, True]), run([True, True], "m2")]
    seen = paired_difference(a, b, resamples=QUICK)
    assert seen.rate_a == pytest.approx(((1 / 2 + 0) / 2 + (0 + 1) / 2) / 2)
    assert (seen.rate_b, seen.b_only, seen.a_only, seen.both, seen.neither) == (1.0, 2, 0, 0, 0)
    assert seen.p_value == pytest.approx(0.5)


def test_averaging_seeds_narrows_the_interval_of_noisy_tasks() -> None:
    rng = np.random.default_rng(3)
    draw = (
        [(rng.random(200) < 0.4).tolist() for _ in range(8)],
        [(rng.random(200) < 0.5).tolist() for _ in range(8)],
    )
    a, b = ([run(each, seed=i) for i, each in enumerate(side)] for side in draw)
    one, many = paired_difference(a[:1], b[:1]), paired_difference(a, b)
    assert many.interval.high - many.interval.low < 0.5 * (one.interval.high - one.interval.low)


def test_a_rate_of_one_run_has_wilsons_interval_and_of_more_the_bootstraps() -> None:
    single = pooled_rate([run([True] * 3 + [False] * 7)])
    assert (single.rate, single.interval, single.method) == (0.3, wilson_interval(3, 10), "wilson")
    pool = pooled_rate([run([True] * 3 + [False] * 7), run([True] * 5 + [False] * 6, seed=1)])
    assert (pool.n, pool.left_out, pool.rate, pool.method) == (10, 1, pytest.approx(0.4), "bootstrap")
    assert pool.interval.low < 0.4 < pool.interval.high
