"""Energy and cost in a report: where every run of a condition was measured; elsewhere said to be absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.policy import POLICIES
from benchmark.cost import Price
from benchmark.energy import SessionEnergy
from benchmark.energy_sources import EnergyPart, EnergyUsed
from benchmark.report.content import ConditionRow
from benchmark.report.costs import with_energy
from benchmark.report.groups import condition_row, grouped
from benchmark.results import load_runs
from tests.benchmark.report_runs import make_run

PRICE = Price(per_kwh=0.3, currency="EUR")


def measure(run: Path, joules: float, kind: str = "rapl") -> Path:
    part = EnergyPart(kind=kind, name="package-0", joules=joules)  # type: ignore[arg-type]
    used = EnergyUsed(joules=joules, seconds=60, parts=(part,), absent=("the screen",))
    line = SessionEnergy(session="s1", began_at=1.0, written_at=61.0, used=used)
    (run / "energy.jsonl").write_text(line.model_dump_json() + "\n")
    return run


def told(runs: list[Path], price: Price | None) -> tuple[list[ConditionRow], tuple[str, ...]]:
    groups = grouped(load_runs(runs))
    return with_energy(groups, [condition_row(group) for group in groups], price)


def test_energy_and_its_price_for_each_task_and_each_solved_one(tmp_path: Path) -> None:
    (row,), notes = told([measure(make_run(tmp_path / "r", POLICIES["B"], 8), 7.2e6)], PRICE)
    assert (row.joules, row.energy_source, row.energy_estimate) == (7.2e6, "RAPL package", False)
    assert row.cost_per_task == pytest.approx(0.6 / 8)
    assert row.cost_per_solved == pytest.approx(0.6 / row.passed)
    assert any("the screen" in note for note in notes)
    assert any("in EUR, at 0.3" in note for note in notes)


def test_a_stated_wattage_is_an_estimate_and_no_price_no_cost(tmp_path: Path) -> None:
    (row,), notes = told([measure(make_run(tmp_path / "r", POLICIES["A"], 3), 100.0, "stated")], None)
    assert row.energy_estimate
    assert row.cost_per_task is None
    assert any("an estimate" in note for note in notes)
    assert any("--price-per-kwh" in note for note in notes)


def test_a_condition_with_a_run_that_was_not_measured_has_no_figure(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"s{seed}", POLICIES["A"], 3, seed=seed) for seed in (0, 1)]
    measure(runs[0], 100.0)
    measure(make_run(tmp_path / "b", POLICIES["B"], 3), 50.0)
    (a, b), _ = told([*runs, tmp_path / "b"], PRICE)
    assert a.joules is None
    assert b.joules == 50.0


def test_no_record_at_all_is_said(tmp_path: Path) -> None:
    (row,), notes = told([make_run(tmp_path / "r", POLICIES["A"], 3)], PRICE)
    assert row.joules is None
    assert "not measured" in notes[0]
