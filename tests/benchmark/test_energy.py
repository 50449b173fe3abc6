"""Energy: each source against a fake of its interface, meters on a clock of their own, records on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from atlas.config import Settings
from atlas.errors import InfrastructureError
from benchmark import energy, energy_sources
from benchmark.energy import Meter, RunMeter, read_energy
from benchmark.energy_sources import Gpu, Rapl, SourceLost, Stated, sources_of


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml:
    """A module like pynvml, with one card."""

    NVMLError = NVMLError

    def __init__(self, *, counter: bool = True, there: bool = True) -> None:
        self.millijoules, self.milliwatts, self.counter, self.there = 5000, 0, counter, there

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        if not self.there:
            raise NVMLError("library not found")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index:
            raise NVMLError("invalid argument")
        return index

    def nvmlDeviceGetName(self, card: int) -> bytes:  # noqa: N802
        return b"RTX"

    def nvmlDeviceGetTotalEnergyConsumption(self, card: int) -> int:  # noqa: N802
        if not self.counter:
            raise NVMLError("not supported")
        return self.millijoules

    def nvmlDeviceGetPowerUsage(self, card: int) -> int:  # noqa: N802
        return self.milliwatts


def powercap(tmp_path: Path, counter: int = 100) -> Path:
    """A tree with a package, a part of it, and a domain that is no package."""
    for name, kind in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:1", "psys")):
        domain = tmp_path / "powercap" / name
        domain.mkdir(parents=True)
        (domain / "name").write_text(f"{kind}\n")
        (domain / "energy_uj").write_text(f"{counter}\n")
        (domain / "max_energy_range_uj").write_text("1000000\n")
    return tmp_path / "powercap"


def counts(tree: Path, value: int) -> None:
    (tree / "intel-rapl:0" / "energy_uj").write_text(f"{value}\n")


def test_rapl_counts_on_when_its_counter_begins_again(tmp_path: Path) -> None:
    tree = powercap(tmp_path, 900_000)
    rapl = Rapl(tree / "intel-rapl:0")
    assert rapl.name == "intel-rapl:0 package-0"
    said = [rapl.joules(0)]
    for value in (950_000, 150_000, 50_000):
        counts(tree, value)
        said.append(rapl.joules(0))
    assert said == pytest.approx([0, 0.05, 0.25, 1.15])


def test_a_card_counts_by_its_counter_also_after_its_driver_was_loaded_anew() -> None:
    nvml = FakeNvml()
    gpu = Gpu(nvml, 0)
    assert (gpu.kind, gpu.name) == ("gpu_counter", "GPU 0 RTX")
    said = []
    for value in (5000, 7000, 100, 1100):
        nvml.millijoules = value
        said.append(gpu.joules(0))
    assert said == [0, 2, 2, 3]


def test_a_card_without_a_counter_counts_by_its_power() -> None:
    nvml = FakeNvml(counter=False)
    gpu = Gpu(nvml, 0)
    assert gpu.kind == "gpu_power"
    nvml.milliwatts = 100_000
    assert gpu.joules(10) == 0
    nvml.milliwatts = 200_000
    assert gpu.joules(12) == pytest.approx(300)


def test_card_and_packages_are_added_and_a_stated_wattage_is_not(tmp_path: Path) -> None:
    settings = Settings(gpu_device=0, watts=50)
    found, absent = sources_of(settings, powercap=powercap(tmp_path), nvml=FakeNvml())
    assert [each.kind for each in found] == ["gpu_counter", "rapl"]
    assert absent == []


def test_a_stated_wattage_counts_where_nothing_else_does_and_each_absence_is_said(tmp_path: Path) -> None:
    for gpu, nvml, why in (
        ("none", FakeNvml(), "GPU_DEVICE is none"),
        (0, FakeNvml(there=False), "library not found"),
        (1, FakeNvml(), "invalid argument"),
    ):
        settings = Settings(gpu_device=gpu, watts=50)  # type: ignore[arg-type]
        found, absent = sources_of(settings, powercap=tmp_path, nvml=nvml)
        assert [each.kind for each in found] == ["stated"]
        assert why in absent[0]
        assert absent[1] == f"RAPL: {tmp_path} has no package domain"
    found, absent = sources_of(Settings(), powercap=tmp_path)
    assert (found, absent[-1]) == ([], "stated wattage: WATTS is not set")


def test_a_counter_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    tree = powercap(tmp_path)
    (tree / "intel-rapl:0" / "energy_uj").unlink()
    found, absent = sources_of(Settings(), powercap=tree)
    assert found == []
    assert "RAPL: " in absent[1]
    assert "energy_uj" in absent[1]


@pytest.mark.parametrize(
    ("url", "counters"), [("http://127.0.0.1:1", 1), ("http://localhost:1", 1), ("http://box:1", 0)]
)
def test_counters_of_this_machine_are_not_read_for_work_on_another(
    url: str, counters: int, tmp_path: Path
) -> None:
    found, _ = sources_of(Settings(llama_url=url), powercap=powercap(tmp_path))
    assert len(found) == counters
    assert sources_of(Settings(), remote=True, powercap=tmp_path / "powercap")[0] == []


class Breaks:
    kind: energy_sources.Kind = "rapl"
    name = "breaks"

    def __init__(self) -> None:
        self.asked = 0

    def joules(self, now: float) -> float:
        self.asked += 1
        if self.asked == 3:
            raise SourceLost("gone")
        return 10.0 * self.asked


async def test_a_meter_adds_its_sources_and_keeps_what_a_lost_one_had_counted() -> None:
    now = SimpleNamespace(s=100.0)
    breaks = Breaks()
    async with Meter([Stated(60), breaks], ["GPU: none"], clock=lambda: now.s) as meter:
        for _ in range(3):
            now.s += 10
            meter.sample()
    used = meter.used
    assert used is not None
    assert (used.joules, used.seconds, used.estimate) == (60 * 30 + 20, 30, True)
    assert [part.lost for part in used.parts] == ["", "after 20 s: gone"]
    assert used.source == "stated wattage (estimate) + RAPL package"
    assert used.absent == ("GPU: none",)
    assert breaks.asked == 3


async def test_a_run_keeps_a_record_over_sessions_and_cut_off_lines(tmp_path: Path) -> None:
    path = tmp_path / "run" / "energy.jsonl"
    settings = Settings(watts=100)
    assert read_energy(path) is None
    async with RunMeter(settings, path, remote=True) as first:
        pass
    with path.open("ab") as file:
        file.write(b'{"session": "cut o')  # kill -9 while it wrote
    with pytest.raises(ZeroDivisionError):
        async with RunMeter(settings, path, remote=True) as second:
            raise ZeroDivisionError
    read = read_energy(path)
    assert first.used is not None
    assert second.used is not None
    assert read is not None
    assert read.joules == pytest.approx(first.used.joules + second.used.joules)
    assert [(part.kind, part.name) for part in read.parts] == [("stated", "100 W")]
    assert len(path.read_bytes().splitlines()) == 5
    path.write_text('{"another": "version"}\n')
    with pytest.raises(InfrastructureError, match="line 1 is not of this version"):
        read_energy(path)


async def test_a_session_that_was_killed_has_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(energy, "LINE_S", 0.001)
    async with RunMeter(Settings(watts=100), tmp_path / "e.jsonl", remote=True):
        while len((tmp_path / "e.jsonl").read_bytes().splitlines()) < 3:  # noqa: ASYNC110 - a file grows without an event
            await asyncio.sleep(0.001)
        assert read_energy(tmp_path / "e.jsonl") is not None


async def test_nothing_is_written_where_nothing_counts(tmp_path: Path) -> None:
    async with RunMeter(Settings(), tmp_path / "e.jsonl", remote=True) as meter:
        assert meter.used is None
    assert not (tmp_path / "e.jsonl").exists()
    assert meter.absent[-1] == "stated wattage: WATTS is not set"
