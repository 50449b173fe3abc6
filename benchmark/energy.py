"""How much energy a run took: by the GPU's counter and RAPL, or, where neither tells, by a stated wattage.

    async with RunMeter(settings, run_dir / "energy.jsonl") as meter:
        ...
    used = read_energy(run_dir / "energy.jsonl")

Sources, best first; those of the first two kinds count different parts of the machine and are added:

    gpu_counter  NVML's energy counter of the card that GPU_DEVICE names (nvmlDeviceGetTotalEnergyConsumption)
    gpu_power    for a card without that counter: its power, sampled every second, times time
    rapl         package domains of Intel's and AMD's running average power limit, in Linux's powercap tree
    stated       WATTS times time: an estimate, taken only where none of the others can be

What no counter sees (memory outside the package, disks, fans, losses of the power supply) is in no figure but
a stated one. Everything else that runs on the machine is in all of them. A model server or gateway elsewhere
has its energy there, so that only a stated wattage counts (`remote`).
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import ipaddress
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx
from pydantic import Field, ValidationError

from atlas.config import Settings
from atlas.contracts import Contract
from atlas.errors import InfrastructureError

Kind = Literal["gpu_counter", "gpu_power", "rapl", "stated"]

POWERCAP = Path("/sys/class/powercap")
SAMPLE_S = 1.0  # RAPL wraps within a minute at the soonest
LINE_S = 20.0  # what a kill may lose of a session's record


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
    if remote or _elsewhere(settings.llama_url):
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


def _elsewhere(url: str | None) -> bool:
    host = httpx.URL(url).host if url is not None else "localhost"
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


# ---------------------------------------------------------------- meters


class Meter:
    """An async context manager that asks its sources now and then. `used` is what they say by now."""

    def __init__(
        self,
        sources: Sequence[Source],
        absent: Iterable[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = list(sources)
        self._absent = tuple(absent)
        self._clock = clock
        self._began = self._now = 0.0
        self._joules = [0.0] * len(self._sources)
        self._lost = [""] * len(self._sources)
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Meter:
        self._began = self._clock()
        self.sample()
        self._asking = asyncio.create_task(self._ask())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self.sample()

    def sample(self) -> None:
        """Ask every source now. One that cannot be read is not asked again, and keeps what it had counted."""
        self._now = self._clock()
        for index, source in enumerate(self._sources):
            if self._lost[index]:
                continue
            try:
                self._joules[index] = source.joules(self._now)
            except SourceLost as lost:
                self._lost[index] = f"after {self._now - self._began:.0f} s: {lost}"

    @property
    def used(self) -> EnergyUsed | None:
        """What was used until the last sample; None if nothing counts."""
        if not self._sources:
            return None
        return EnergyUsed(
            joules=sum(self._joules),
            seconds=self._now - self._began,
            parts=tuple(
                EnergyPart(kind=source.kind, name=source.name, joules=joules, lost=lost)
                for source, joules, lost in zip(self._sources, self._joules, self._lost, strict=True)
            ),
            absent=self._absent,
        )

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.sample()


class SessionEnergy(Contract):
    """A line of `energy.jsonl`: what a session (one command) had used when it was written.

    Later lines of the same session replace earlier ones. Times are seconds since 1970.
    """

    session: str
    began_at: float
    written_at: float
    used: EnergyUsed


class RunMeter:
    """An async context manager that keeps a run's record: a line every `LINE_S` seconds and at the end.

    Nothing is written where nothing counts; `absent` says why. A kill loses no more than the last seconds.

    Args:
        settings: those of the stack that does the work.
        path: the record; lines are appended.
        remote: the work is done on another machine.

    Raises:
        InfrastructureError: on entry or exit, the record cannot be written.
    """

    def __init__(self, settings: Settings, path: Path, *, remote: bool = False) -> None:
        sources, absent = sources_of(settings, remote=remote)
        self.absent = tuple(absent)
        self._meter = Meter(sources, absent)
        self._path = path
        self._session, self._began_at = secrets.token_hex(8), time.time()
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RunMeter:
        await self._meter.__aenter__()
        self._write()
        self._writing = asyncio.create_task(self._write_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._meter.__aexit__()
        self._write()

    @property
    def used(self) -> EnergyUsed | None:
        """What this session has used by now; None if nothing counts."""
        return self._meter.used

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(LINE_S)
            self._write()

    def _write(self) -> None:
        used = self._meter.used
        if used is None:
            return
        line = SessionEnergy(
            session=self._session, began_at=self._began_at, written_at=time.time(), used=used
        ).model_dump_json()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                torn = file.tell() > 0 and _last_byte(file.fileno(), file.tell()) != b"\n"
                file.write(b"\n" * torn + line.encode() + b"\n")
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._path}: {error.strerror}") from error


def read_energy(path: Path) -> EnergyUsed | None:
    """Return what all sessions of a record used together; None if there is no record.

    A line that a kill has cut off is passed over: the one before it stands.

    Raises:
        InfrastructureError: it cannot be read, or is not of this version.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InfrastructureError(f"cannot read {path}: {error.strerror}") from error
    sessions: dict[str, EnergyUsed] = {}
    for number, line in enumerate(lines, start=1):
        try:
            read = SessionEnergy.model_validate_json(line)
        except ValidationError as error:
            if all(each["type"] == "json_invalid" for each in error.errors()):
                continue
            raise InfrastructureError(f"{path}: line {number} is not of this version") from error
        sessions[read.session] = read.used
    return total(sessions.values()) if sessions else None


def total(used: Iterable[EnergyUsed]) -> EnergyUsed:
    """Add up the energy of sessions, or of runs."""
    every = list(used)
    parts: dict[tuple[Kind, str], EnergyPart] = {}
    for part in (part for each in every for part in each.parts):
        before = parts.get((part.kind, part.name), part.model_copy(update={"joules": 0.0}))
        parts[part.kind, part.name] = before.model_copy(
            update={"joules": before.joules + part.joules, "lost": before.lost or part.lost}
        )
    return EnergyUsed(
        joules=sum(each.joules for each in every),
        seconds=sum(each.seconds for each in every),
        parts=tuple(parts.values()),
        absent=tuple(dict.fromkeys(text for each in every for text in each.absent)),
    )


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)
