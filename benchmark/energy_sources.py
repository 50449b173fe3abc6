"""What counts energy on a machine: the GPU's counter, RAPL, or, where neither tells, a stated wattage.

Best first; those of the first two kinds count different parts of the machine and are added:

    gpu_counter  NVML's energy counter of the card that GPU_DEVICE names (nvmlDeviceGetTotalEnergyConsumption)
    gpu_power    for a card without that counter: its power, sampled every second, times time
    rapl         package domains of Intel's and AMD's running average power limit, in Linux's powercap tree
    stated       WATTS times time: an estimate, taken only where none of the others can be

What no counter sees (memory outside the package, disks, fans, losses of the power supply) is in no figure but
a stated one. Everything else that runs on the machine is in all of them. A model server or gateway elsewhere
has its energy there, so that only a stated wattage counts (`remote`).
"""

from __future__ import annotations

import functools
import importlib
import ipaddress
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
from pydantic import Field

from atlas.config import Settings
from atlas.contracts import Contract

Kind = Literal["gpu_counter", "gpu_power", "rapl", "stated"]

POWERCAP = Path("/sys/class/powercap")
SAMPLE_S = 1.0  # RAPL wraps within a minute at the soonest


class EnergyPart(Contract):
    """What one source counted. `lost`: why it stopped counting before the end, and then counts too little."""

    kind: Kind
    name: str
    joules: float = Field(ge=0)
    lost: str = ""


class EnergyUsed(Contract):
    """Energy over `seconds`. `estimate`: some of it is a stated wattage. `absent`: what is not in it."""

    joules: float = Field(ge=0)
    seconds: float = Field(ge=0)
    parts: tuple[EnergyPart, ...]
    absent: tuple[str, ...] = ()

    @property
    def estimate(self) -> bool:
        """Whether any of it was not measured."""
        return any(part.kind == "stated" for part in self.parts)

    @property
    def source(self) -> str:
        """Where it is from, in words."""
        words = {
            "gpu_counter": "GPU counter",
            "gpu_power": "GPU power sampled",
            "rapl": "RAPL package",
            "stated": "stated wattage (estimate)",
        }
        return " + ".join(dict.fromkeys(words[part.kind] for part in self.parts))


class Source(Protocol):
    """One thing that counts. It is asked every `SAMPLE_S` seconds."""

    kind: Kind
    name: str

    def joules(self, now: float) -> float:
        """Return the energy since it was asked first, at `now` seconds.

        Raises:
            SourceLost: it cannot be read any more.
        """
        ...


class SourceLost(Exception):
    """A source cannot be read; the message says why."""


# ---------------------------------------------------------------- sources


class Stated:
    """A wattage that someone stated, times time."""

    kind: Kind = "stated"

    def __init__(self, watts: float) -> None:
        self.name = f"{watts:g} W"
        self._watts, self._began = watts, None

    _began: float | None

    def joules(self, now: float) -> float:
        """See `Source`."""
        self._began = now if self._began is None else self._began
        return self._watts * (now - self._began)


class Rapl:
    """One package domain of powercap: `energy_uj` counts up, and begins again after `max_energy_range_uj`.

    Source: Linux, Documentation/power/powercap/powercap.rst.

    Raises:
        SourceLost: it cannot be read; since Linux 5.10 only root may.
    """

    kind: Kind = "rapl"

    def __init__(self, domain: Path) -> None:
        self._counter = domain / "energy_uj"
        self.name = f"{domain.name} {_text(domain / 'name')}"
        self._range = int(_text(domain / "max_energy_range_uj"))
        self._last: int | None = None
        self._total = 0
        self._microjoules()

    def joules(self, now: float) -> float:
        """See `Source`. At most one turn of the counter may pass between two calls."""
        counted = self._microjoules()
        if self._last is not None:
            self._total += counted - self._last + (self._range if counted < self._last else 0)
        self._last = counted
        return self._total / 1e6

    def _microjoules(self) -> int:
        return int(_text(self._counter))


class Gpu:
    """A card, by its counter of millijoules, or where it has none by its power.

    Raises:
        SourceLost: NVML knows neither.
    """

    def __init__(self, nvml: Any, index: int) -> None:  # noqa: ANN401 - the module `pynvml`, or one like it
        self._nvml = nvml
        try:
            self._card = nvml.nvmlDeviceGetHandleByIndex(index)
            name = nvml.nvmlDeviceGetName(self._card)
        except nvml.NVMLError as error:
            raise SourceLost(f"GPU {index}: {error}") from error
        self.name = f"GPU {index} {name.decode() if isinstance(name, bytes) else name}"
        self.kind: Kind = "gpu_counter"
        self._total = 0.0
        self._last: tuple[float, float] | None = None
        try:
            self._read()
        except SourceLost:
            self.kind = "gpu_power"
            self._read()

    def joules(self, now: float) -> float:
        """See `Source`. Between two samples of its power the card is taken to draw their mean."""
        value = self._read()
        if self._last is not None:
            then, before = self._last
            if self.kind == "gpu_power":
                self._total += (now - then) * (before + value) / 2e3
            elif value >= before:  # else the driver was loaded anew, and counts from 0
                self._total += (value - before) / 1e3
        self._last = now, value
        return self._total

    def _read(self) -> float:
        """Return millijoules since the driver was loaded, or milliwatts."""
        nvml = self._nvml
        try:
            if self.kind == "gpu_counter":
                return float(nvml.nvmlDeviceGetTotalEnergyConsumption(self._card))
            return float(nvml.nvmlDeviceGetPowerUsage(self._card))
        except nvml.NVMLError as error:
            raise SourceLost(f"{self.name}: {error}") from error


def sources_of(
    settings: Settings,
    *,
    remote: bool = False,
    powercap: Path = POWERCAP,
    nvml: Any = None,  # noqa: ANN401 - the module `pynvml`, or one like it
) -> tuple[list[Source], list[str]]:
    """Return what can count for a run on these settings, and what cannot and why.

    Args:
        settings: those of the stack that does the work.
        remote: the run is not solved on this machine. A model server elsewhere (LLAMA_URL) is as remote.
        powercap: Linux's powercap tree.
        nvml: what to use instead of `pynvml`.
    """
    found: list[Source] = []
    absent: list[str] = []
    if remote or any(map(elsewhere, settings.llama_urls)):
        absent.append("counters of this machine: the work is done on another")
    else:
        looks = (functools.partial(_gpus, settings, nvml), functools.partial(_packages, powercap))
        for look in looks:
            try:
                found += look()
            except SourceLost as lost:
                absent.append(str(lost))
    if not found:
        if settings.watts is None:
            absent.append("stated wattage: WATTS is not set")
        else:
            found.append(Stated(settings.watts))
    return found, absent


def _gpus(settings: Settings, nvml: Any) -> list[Source]:  # noqa: ANN401
    if settings.gpu_device == "none":
        raise SourceLost("GPU: GPU_DEVICE is none")
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError as error:
            raise SourceLost("GPU: nvidia-ml-py is not installed (pip install 'atlas[benchmark]')") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise SourceLost(f"GPU: {error}") from error
    return [Gpu(nvml, settings.gpu_device)]


def _packages(powercap: Path) -> list[Source]:
    # intel-rapl:0 is a package, intel-rapl:0:1 a part of it that its counter has already counted.
    domains = sorted(path for path in powercap.glob("intel-rapl:*") if path.name.count(":") == 1)
    packages = [path for path in domains if _name(path).startswith("package")]
    if not packages:
        raise SourceLost(f"RAPL: {powercap} has no package domain")
    return [Rapl(path) for path in packages]


def _name(domain: Path) -> str:
    try:
        return _text(domain / "name")
    except SourceLost:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        advice = ": only root may read it" if isinstance(error, PermissionError) else f": {error.strerror}"
        raise SourceLost(f"RAPL: {path}{advice}") from error


def elsewhere(url: str | None) -> bool:
    """Whether a URL names another machine; None is this one."""
    host = httpx.URL(url).host if url is not None else "localhost"
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
