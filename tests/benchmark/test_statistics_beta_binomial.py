"""The Beta distribution of tasks' chances: found again, finite where the likelihood is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import beta as beta_function

from benchmark.statistics.beta_binomial import fit_beta, log_likelihood


@pytest.mark.parametrize(("right", "wrong"), [(0.5, 2.0), (3.0, 3.0), (8.0, 1.5)])
def test_it_finds_what_chances_were_drawn_from(right: float, wrong: float) -> None:
    noise = np.random.default_rng(3)
    passed = noise.binomial(10, noise.beta(right, wrong, 4000))
    found = fit_beta(passed.tolist(), (10 - passed).tolist())
    assert found == pytest.approx((right, wrong), rel=0.15)


@given(
    tasks=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30).filter(
        lambda each: sum(a + b for a, b in each) > 0
    )
)
def test_the_fit_is_finite_and_its_mean_is_between_the_shares_and_a_half(
    tasks: list[tuple[int, int]],
) -> None:
    passed, failed = [a for a, _ in tasks], [b for _, b in tasks]
    right, wrong = fit_beta(passed, failed)
    assert 0 < right < 1000
    assert 0 < wrong < 1000
    shares = [a / (a + b) for a, b in tasks if a + b]
    assert min(0.5, *shares) - 0.05 <= right / (right + wrong) <= max(0.5, *shares) + 0.05


def test_the_likelihood_is_that_of_the_sequences() -> None:
    assert log_likelihood(2, 3, [1, 0], [1, 2]) == pytest.approx(
        np.mean(
            np.log([beta_function(3, 4) / beta_function(2, 3), beta_function(2, 5) / beta_function(2, 3)])
        )
    )


def test_no_tries_are_nothing_to_fit_to() -> None:
    with pytest.raises(ValueError, match="no tries"):
        fit_beta([0], [0])
