"""What a run cost in electricity, and what its tokens would have cost elsewhere. Pure but for one file.

Only energy is counted: not the machine, its space or anyone's time.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError

from atlas.config import Settings
from atlas.contracts import Contract, Usage
from atlas.errors import InfrastructureError
from benchmark.energy_sources import EnergyUsed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

JOULES_PER_KWH = 3.6e6
API_PRICES = Path(__file__).parent / "data" / "api_prices.toml"


class Price(Contract):
    """What a kilowatt-hour costs."""

    per_kwh: float = Field(ge=0)
    currency: str


class RunCost(Contract):
    """What a run's energy cost, in `currency`. `estimate`: the energy was not measured but stated.

    `per_task` divides it by all tasks with a result, `per_solved` by those that passed (None if none did):
    what was spent on tasks that failed is part of what a solved one costs.
    """

    currency: str
    kwh: float
    total: float
    per_task: float
    per_solved: float | None
    estimate: bool


class ApiPrice(Contract):
    """Prices of one model at one provider, in US dollars for a million tokens.

    `cached_input` is for prompt tokens found in the provider's cache, None where none is stated: then they
    cost what others do. `read` is the day this was looked up, `page` that of the page by its own words, None
    where it has none. `official`: it is the provider's own page.
    """

    provider: str
    model: str
    input: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    output: float = Field(ge=0)
    read: date
    page: date | None = None
    source: str
    official: bool


class ApiCost(Contract):
    """What the same numbers of tokens would have cost there, in US dollars."""

    price: ApiPrice
    dollars: float


def price_of(settings: Settings) -> Price | None:
    """Return the price of PRICE_PER_KWH and CURRENCY; None if it is not set, and cost is not stated."""
    if settings.price_per_kwh is None:
        return None
    return Price(per_kwh=settings.price_per_kwh, currency=settings.currency)


def run_cost(used: EnergyUsed, price: Price, tasks: int, solved: int) -> RunCost:
    """Return what a run cost that gave `tasks` results, of which `solved` passed.

    Raises:
        ValueError: not 0 <= solved <= tasks and tasks >= 1.
    """
    if tasks < 1 or not 0 <= solved <= tasks:
        raise ValueError(f"needs 0 <= solved <= tasks and tasks >= 1, not solved={solved}, tasks={tasks}")
    kwh = used.joules / JOULES_PER_KWH
    total = kwh * price.per_kwh
    return RunCost(
        currency=price.currency,
        kwh=kwh,
        total=total,
        per_task=total / tasks,
        per_solved=total / solved if solved else None,
        estimate=used.estimate,
    )


def allocated(joules: float, spans: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return each task's part of a run's energy, by the time it was worked on (start and end, in seconds).

    The run is taken to have drawn the same power whenever any task was in flight, and tasks in flight
    together to have had equal parts of it. That is an approximation: a task that only waits is charged as one
    that generates. The parts add up to the whole; what was drawn between tasks is spread like the rest.

    Raises:
        ValueError: a span ends before it begins, or no time was spent at all.
    """
    if any(end < start for start, end in spans.values()):
        raise ValueError("a span ends before it begins")
    moments = sorted({moment for span in spans.values() for moment in span})
    seconds = dict.fromkeys(spans, 0.0)
    for start, end in itertools.pairwise(moments):
        in_flight = [task for task, (begins, ends) in spans.items() if begins <= start and end <= ends]
        for task in in_flight:
            seconds[task] += (end - start) / len(in_flight)
    whole = sum(seconds.values())
    if whole <= 0:
        raise ValueError("no time was spent on any task")
    return {task: joules * each / whole for task, each in seconds.items()}


def api_prices(path: Path = API_PRICES) -> tuple[ApiPrice, ...]:
    """Read the price file.

    Raises:
        InfrastructureError: it cannot be read, naming the entry.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["price"]
    except (OSError, ValueError, KeyError) as error:
        raise InfrastructureError(f"cannot read {path}: {error}") from error
    prices = []
    for number, row in enumerate(rows, start=1):
        try:
            prices.append(ApiPrice.model_validate(row))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InfrastructureError(f"{path}: price {number}: {where}: {first['msg']}") from error
    return tuple(prices)


def compare(usage: Usage, prices: Iterable[ApiPrice]) -> tuple[ApiCost, ...]:
    """Return what as many tokens would have cost at each price, cheapest first.

    A rough comparison: another model counts the same text as another number of tokens, needs fewer or more
    attempts for the same tasks, and hits its cache at another rate. What thinking costs there is not in it.
    """

    def dollars(price: ApiPrice) -> float:
        cached = price.input if price.cached_input is None else price.cached_input
        fresh = usage.tokens_in - usage.tokens_cached
        return (fresh * price.input + usage.tokens_cached * cached + usage.tokens_out * price.output) / 1e6

    costs = [ApiCost(price=price, dollars=dollars(price)) for price in prices]
    return tuple(sorted(costs, key=lambda cost: cost.dollars))
