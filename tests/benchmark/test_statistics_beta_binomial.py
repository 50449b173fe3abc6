"""The Beta distribution of tasks' chances: found again, finite where the likelihood is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from benchmark.statistics.beta_binomial import Drawn, fit_beta, log_likelihood

drawn = st.builds(
    Drawn,
    passed=st.booleans(),
    elsewhere=st.sampled_from([0.0, 0.5, 3.0]),
    harder=st.just(1.0),
)
histories = st.lists(st.lists(drawn, max_size=6), min_size=1, max_size=20).filter(any)


def tasks(
    right: float, wrong: float, n: int, k: int, elsewhere: float = 0.0, harder: float = 1.0
) -> list[list[Drawn]]:
    """Tries of tasks whose chances are Beta(right, harder * wrong + elsewhere)."""
    noise = np.random.default_rng(3)
    chances = noise.beta(right, harder * wrong + elsewhere, n)
    return [[Drawn(bool(noise.random() < chance), elsewhere, harder) for _ in range(k)] for chance in chances]


@pytest.mark.parametrize(("right", "wrong"), [(0.5, 2.0), (3.0, 3.0), (8.0, 1.5)])
def test_it_finds_what_chances_were_drawn_from(right: float, wrong: float) -> None:
    assert fit_beta(tasks(right, wrong, 3000, 8)) == pytest.approx((right, wrong), rel=0.15)


def test_failures_elsewhere_are_taken_off_again() -> None:
    right, wrong = fit_beta(tasks(1.0, 2.0, 3000, 8, elsewhere=4.0))
    assert (right, wrong + 4.0) == pytest.approx((1.0, 6.0), rel=0.15)


def test_what_makes_some_tasks_harder_is_taken_off_again() -> None:
    made = tasks(1.0, 2.0, 1500, 8) + tasks(1.0, 2.0, 1500, 8, harder=5.0)
    assert fit_beta(made) == pytest.approx((1.0, 2.0), rel=0.15)


@given(histories)
def test_the_fit_is_finite_and_no_other_mean_is_much_likelier(made: list[list[Drawn]]) -> None:
    right, wrong = fit_beta(made)
    assert 0 < right < 1000
    assert 0 < wrong < 1000
    n = len(made)
    for size in (0.1, 1.0, 10.0):
        other = (0.5 * size, 0.5 * size)
        slack = 8 / n  # what the hyperprior may weigh against the data of all tasks
        assert log_likelihood(right, wrong, made) >= log_likelihood(*other, made) - slack


@given(st.floats(0.1, 20), st.floats(0.1, 20), st.lists(st.booleans(), min_size=1, max_size=8))
def test_with_nothing_elsewhere_it_is_the_beta_binomial(
    right: float, wrong: float, passed: list[bool]
) -> None:
    n = sum(passed)
    expected = betaln(right + n, wrong + len(passed) - n) - betaln(right, wrong)
    assert log_likelihood(right, wrong, [[Drawn(each) for each in passed]]) == pytest.approx(expected)


def test_no_tries_are_nothing_to_fit_to() -> None:
    with pytest.raises(ValueError, match="no tries"):
        fit_beta([[]])
