"""How much energy a run took: by the GPU's counter and RAPL, or, where neither tells, by a stated wattage.

    async with RunMeter(settings, run_dir / "energy.jsonl") as meter:
        ...
    used = read_energy(run_dir / "energy.jsonl")

What can count is in `benchmark.energy_sources`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from atlas.config import Settings
from atlas.contracts import Contract
from atlas.errors import InfrastructureError
from benchmark.energy_sources import SAMPLE_S, EnergyPart, EnergyUsed, Kind, Source, SourceLost, sources_of

ENERGY = "energy.jsonl"  # of a run directory
LINE_S = 20.0  # what a kill may lose of a session's record


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
