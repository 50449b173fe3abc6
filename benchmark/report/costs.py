"""What conditions took in energy and money, where their runs hold a record of it (`energy.jsonl`)."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.cost import Price, run_cost
from benchmark.energy import ENERGY, read_energy, total
from benchmark.energy_sources import EnergyUsed
from benchmark.report.content import ConditionRow
from benchmark.report.groups import Group


def with_energy(
    groups: Sequence[Group], rows: Sequence[ConditionRow], price: Price | None
) -> tuple[list[ConditionRow], tuple[str, ...]]:
    """Return the conditions with energy and cost where measured, and notes on how, or on why not.

    A condition has a figure only if every one of its runs was measured.

    Raises:
        InfrastructureError: a record cannot be read, or is not of this version.
    """
    used = [_used(group) for group in groups]
    known = [each for each in used if each]
    if not known:
        return list(rows), (f"Energy and cost: not measured, since no run here holds a record ({ENERGY}).",)
    said = [_priced(row, each, price) if each else row for row, each in zip(rows, used, strict=True)]
    notes = [f"Energy is from: {', '.join(dict.fromkeys(each.source for each in known))}."]
    if any(each.estimate for each in known):
        notes.append("A stated wattage times time is an estimate, not a measurement.")
    absent = list(dict.fromkeys(text for each in known for text in each.absent))
    notes += [f"Not in it: {'; '.join(absent)}."] if absent else []
    if price is None:
        notes.append("Cost is not stated: no price of a kilowatt-hour was given (--price-per-kwh).")
    else:
        notes.append(
            f"Costs are of energy alone, in {price.currency}, at {price.per_kwh:g} for a kilowatt-hour."
        )
    return said, tuple(notes)


def _used(group: Group) -> EnergyUsed | None:
    each = [read_energy(run.directory / ENERGY) for run in group.runs]
    known = [used for used in each if used is not None]
    return total(known) if len(known) == len(each) else None


def _priced(row: ConditionRow, used: EnergyUsed, price: Price | None) -> ConditionRow:
    cost = run_cost(used, price, row.n, row.passed) if price and row.n else None
    return row.model_copy(
        update={
            "joules": used.joules,
            "energy_source": used.source,
            "energy_estimate": used.estimate,
            "cost_per_task": cost.per_task if cost else None,
            "cost_per_solved": cost.per_solved if cost else None,
        }
    )
