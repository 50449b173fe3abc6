"""Power: against simulation, its normal approximation, its inverse, and its limits."""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics import (
    WORST_DISCORDANCE,
    Replicate,
    Submission,
    detectable_difference,
    mcnemar,
    mcnemar_power,
    paired_difference,
    power_before,
    power_of,
    tasks_needed,
)

Z_ALPHA, Z_POWER = 1.959964, 0.841621


def approximate(n: int, discordance: float) -> float:
    """R. J. Connor, Biometrics 43 (1987) 207-211, solved for the difference by iteration."""
    difference = 0.0
    for _ in range(100):
        difference = (Z_ALPHA * sqrt(discordance) + Z_POWER * sqrt(discordance - difference**2)) / sqrt(n)
    return difference


@pytest.mark.parametrize(
    ("n", "discordance", "difference"), [(60, 0.3, 0.15), (243, 0.15, 0.07), (243, 0.15, 0.0)]
)
def test_power_is_how_often_the_test_rejects(n: int, discordance: float, difference: float) -> None:
    rng = np.random.default_rng(11)
    shares = [(discordance - difference) / 2, (discordance + difference) / 2, 1 - discordance]
    drawn = rng.multinomial(n, shares, size=800)
    rejected = np.mean([mcnemar(int(a), int(b)) <= 0.05 for a, b, _ in drawn])
    assert mcnemar_power(n, discordance, difference) == pytest.approx(rejected, abs=0.05)


@settings(deadline=None)
@given(st.integers(1, 400), st.floats(0.01, 1), st.floats(0, 1))
def test_power_is_a_probability_and_keeps_its_level(n: int, discordance: float, share: float) -> None:
    power = mcnemar_power(n, discordance, discordance * share)
    assert 0 <= power <= 1
    assert power == pytest.approx(mcnemar_power(n, discordance, -discordance * share), abs=1e-6)
    assert mcnemar_power(n, discordance, 0.0) <= 0.05 + 1e-6


@pytest.mark.parametrize(("n", "discordance"), [(243, 0.1), (243, 0.3), (1055, 0.1), (1055, 0.5)])
def test_the_detectable_difference_is_a_little_above_the_normal_approximation(
    n: int, discordance: float
) -> None:
    found = detectable_difference(n, discordance)
    assert found is not None
    assert approximate(n, discordance) < found < 1.12 * approximate(n, discordance)
    assert mcnemar_power(n, discordance, found) == pytest.approx(0.8, abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(st.integers(10, 400), st.floats(0.02, 0.6))
def test_more_tasks_and_less_discordance_show_smaller_differences(n: int, discordance: float) -> None:
    here = detectable_difference(n, discordance)
    assert here is not None
    assert (detectable_difference(2 * n, discordance) or 0) < here
    assert here <= (detectable_difference(n, min(1, 1.5 * discordance)) or 0) + 1e-4


def test_the_inverse() -> None:
    n = tasks_needed(0.05, 0.15)
    found = detectable_difference(n, 0.15)
    assert found == pytest.approx(0.05, abs=5e-4)
    assert mcnemar_power(n, 0.15, 0.05) >= 0.8 > mcnemar_power(n - 1, 0.15, 0.05)
    assert tasks_needed(-0.05, 0.15) == n
    assert tasks_needed(1.0, 1.0) == 6


def test_five_tasks_show_nothing() -> None:
    assert mcnemar_power(5, 1.0, 1.0) == 0.0
    assert detectable_difference(5) is None
    assert detectable_difference(6, 1.0) == pytest.approx(2 * 0.8 ** (1 / 6) - 1, abs=1e-4)


def test_where_nothing_differed_all_that_differ_go_one_way() -> None:
    found = detectable_difference(100, 0.0)
    assert found == pytest.approx(detectable_difference(100, found or 0), abs=1e-3)
    assert mcnemar_power(100, found or 0, found or 0) == pytest.approx(0.8, abs=1e-3)


def run(passed: list[bool], seed: int = 0) -> Replicate:
    return Replicate({str(i): Submission(p) for i, p in enumerate(passed)}, "m", seed)


def test_what_a_comparison_could_have_seen() -> None:
    a, b = run([True] * 10 + [False] * 90), run([False] * 4 + [True] * 16 + [False] * 80)
    said = power_of(paired_difference([a], [b]))
    assert (said.n, said.method, said.basis) == (100, "exact_mcnemar", "observed")
    assert said.discordance == pytest.approx(0.14)
    assert said.detectable == detectable_difference(100, 0.14)
    before = power_before(100)
    assert (before.basis, before.discordance) == ("worst_case", WORST_DISCORDANCE)
    assert (before.detectable or 0) > (said.detectable or 0)


def test_several_runs_go_by_the_spread_of_the_tasks_differences() -> None:
    a = [run([True] * 10 + [False] * 90), run([False] * 100, 1)]
    b = [run([True] * 20 + [False] * 80), run([True] * 20 + [False] * 80, 1)]
    seen = paired_difference(a, b)
    said = power_of(seen)
    assert said.method == "normal"
    assert said.detectable == pytest.approx((Z_ALPHA + Z_POWER) * seen.sd / 10, rel=1e-4)
    same = power_of(paired_difference(a, a))
    assert (same.method, same.detectable) == ("exact_mcnemar", detectable_difference(100, 0.0))


@pytest.mark.parametrize("case", [(0, 0.5, 0.1), (10, 0.1, 0.2), (10, 1.1, 0.2)])
def test_power_refuses(case: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        mcnemar_power(*case)


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(ValueError, match="needs"):
        tasks_needed(0.0)
    with pytest.raises(ValueError, match="needs"):
        tasks_needed(0.3, 0.2)
    with pytest.raises(ValueError, match="needs"):
        detectable_difference(10, 0.1, power=0.01)


def test_the_table_in_the_methodology_is_what_the_code_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "METHODOLOGY.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [30, 60, 100, 243, 500, 1055]
    for n, *shown in rows:
        for discordance, points in zip((0.1, 0.2, 0.3, 0.5), shown, strict=True):
            found = detectable_difference(int(n), discordance)
            assert found is not None
            assert f"{100 * found:.1f}" == points, (n, discordance)
    assert (f"{tasks_needed(0.05, 0.2)} tasks are needed") in " ".join(text.split())
