"""Costs: of energy, of each task's part of it, and of as many tokens elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Usage
from atlas.errors import InfrastructureError
from benchmark.cost import ApiPrice, Price, allocated, api_prices, compare, run_cost
from benchmark.energy_sources import EnergyPart, EnergyUsed

PRICE = Price(per_kwh=0.5, currency="EUR")


def used(joules: float) -> EnergyUsed:
    return EnergyUsed(joules=joules, seconds=1, parts=(EnergyPart(kind="stated", name="x", joules=joules),))


def test_a_solved_task_pays_for_those_that_failed() -> None:
    cost = run_cost(used(7.2e6), PRICE, tasks=10, solved=4)
    assert (cost.kwh, cost.total, cost.per_task, cost.per_solved) == (2, 1, 0.1, 0.25)
    assert (cost.currency, cost.estimate) == ("EUR", True)
    assert run_cost(used(7.2e6), PRICE, tasks=10, solved=0).per_solved is None
    with pytest.raises(ValueError, match="solved=2, tasks=1"):
        run_cost(used(1), PRICE, tasks=1, solved=2)


def test_tasks_in_flight_together_have_equal_parts_of_the_time() -> None:
    assert allocated(100, {"a": (0, 10), "b": (5, 15), "c": (25, 30)}) == pytest.approx(
        {"a": 37.5, "b": 37.5, "c": 25}
    )
    with pytest.raises(ValueError, match="no time"):
        allocated(1, {"a": (3, 3)})
    with pytest.raises(ValueError, match="ends before"):
        allocated(1, {"a": (3, 2)})


@given(
    joules=st.floats(0, 1e9),
    spans=st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1),
)
def test_the_parts_add_up_to_the_whole(joules: float, spans: dict[str, tuple[int, int]]) -> None:
    parts = allocated(joules, {task: (begin, begin + length) for task, (begin, length) in spans.items()})
    assert parts.keys() == spans.keys()
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == pytest.approx(joules)


def test_cached_tokens_cost_what_the_provider_says() -> None:
    base = {"provider": "p", "input": 2, "output": 10, "read": "2026-11-24", "source": "s", "official": True}
    plain = ApiPrice.model_validate({**base, "model": "plain"})
    caching = ApiPrice.model_validate({**base, "model": "caching", "cached_input": 0.5})
    usage = Usage(tokens_in=3_000_000, tokens_cached=2_000_000, tokens_out=1_000_000)
    assert [(c.price.model, c.dollars) for c in compare(usage, [plain, caching])] == [
        ("caching", 13),
        ("plain", 16),
    ]


def test_the_price_file_is_whole(tmp_path: Path) -> None:
    prices = api_prices()
    assert len({(price.provider, price.model) for price in prices}) == len(prices) >= 5
    assert all(price.source and (price.cached_input or 0) <= price.input <= price.output for price in prices)
    (tmp_path / "p.toml").write_text('[[price]]\nprovider = "p"\n')
    with pytest.raises(InfrastructureError, match="price 1: model: Field required"):
        api_prices(tmp_path / "p.toml")
    with pytest.raises(InfrastructureError, match="cannot read"):
        api_prices(tmp_path / "none.toml")
