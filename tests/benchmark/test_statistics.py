"""Intervals and pass@k against their definitions."""

from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.statistics import pass_at_k, wilson_interval

Z95 = 1.959963984540054


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 2000))
    return draw(st.integers(0, n)), n


@given(counts())
def test_wilson_is_its_formula(case: tuple[int, int]) -> None:
    passed, n = case
    p, z = passed / n, Z95
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    got = wilson_interval(passed, n)
    assert got == pytest.approx((max(0.0, middle - half), min(1.0, middle + half)), abs=1e-9)


@given(counts(), st.floats(0.5, 0.99))
def test_wilson_is_an_interval_around_p(case: tuple[int, int], confidence: float) -> None:
    passed, n = case
    got = wilson_interval(passed, n, confidence)
    assert 0 <= got.low <= passed / n + 1e-12
    assert passed / n - 1e-12 <= got.high <= 1
    wider = wilson_interval(passed, n, 0.995)
    assert wider.low <= got.low + 1e-12
    assert got.high <= wider.high + 1e-12
    mirrored = wilson_interval(n - passed, n, confidence)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx(got, abs=1e-9)


def test_wilson_known_value() -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("case", [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses(case: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="passed"):
        wilson_interval(*case)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_wilson_refuses_a_confidence_in_percent(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson_interval(1, 2, confidence)


@given(st.data())
def test_pass_at_k_is_its_formula(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 200))
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert pass_at_k(n, correct, k) == pytest.approx(1 - comb(n - correct, k) / comb(n, k), abs=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_k_is_the_mean_over_all_choices_of_k(samples: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(samples)))
    choices = [any(c) for c in combinations(samples, k)]
    assert pass_at_k(len(samples), sum(samples), k) == pytest.approx(sum(choices) / len(choices))


@given(st.integers(1, 100), st.data())
def test_pass_at_1_is_the_rate(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    assert pass_at_k(n, correct, 1) == pytest.approx(correct / n)


@pytest.mark.parametrize("case", [(5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6), (0, 0, 0)])
def test_pass_at_k_refuses(case: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="needs"):
        pass_at_k(*case)
