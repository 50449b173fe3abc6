"""A program that must survive kill -9, as a child process: killed at its moments, started until done."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from atlas import running_stack
from atlas.cancellation import cancel
from atlas.client import Gateway
from atlas.embedded.process import Child
from atlas.errors import InfrastructureError
from tests.chaos.field import Field
from tests.chaos.runner_moments import Moment, Phase, Sight, come, files, next_moment

log = logging.getLogger(__name__)

POLL_S = 0.001
LOOK_S = 0.02
LIFE_S = 180.0
DIES_S = 5.0
STUMBLES_MOST = 5
TASKS_MOST = 200


@dataclass(frozen=True)
class Program:
    """What is killed: its command, and the signs by which the moments of its life are seen.

    `results`: the directory of what it writes. `records`: a glob in it, of the files that each say what
    became of a task; of these there are `tasks` in the end. `begun`: what its log says when it has read what
    there is.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    results: Path
    records: str
    tasks: int
    begun: str

    def recorded(self) -> int:
        """How many tasks have a record."""
        return len(list(self.results.glob(self.records)))


class Lives:
    """The program, again and again: the same command each time. Use `async with`."""

    def __init__(self, field: Field, program: Program) -> None:
        self.field, self.program = field, program
        self._temporary = field.directory / "tmp"
        self._temporary.mkdir()
        self._gateways: dict[str, Gateway] = {}
        self._held = AsyncExitStack()
        self._seen = Sight()
        self.count = 0

    async def __aenter__(self) -> Lives:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    def begin(self) -> Child:
        """Start the program once more."""
        self.count += 1
        environment = {**self.program.environment, "TMPDIR": str(self._temporary)}
        command, directory = self.program.command, self.field.directory
        return Child.spawn(f"life-{self.count}", command, directory, env=environment)

    def output(self) -> str:
        """What the last life has printed, on stdout and stderr."""
        path = self.field.directory / f"life-{self.count}.log"
        return path.read_text(encoding="utf-8", errors="replace")

    async def see(self, child: Child | None) -> Sight:
        """Look at everything there is to see; while the gateway is away, its tasks are as last seen."""
        tasks = await self._tasks()
        self._seen = Sight(
            begun=child is not None and self.program.begun in child.tail(50),
            submitted=max(self._seen.submitted, len(tasks)),
            asked=len(self.field.requests),
            ended=max(self._seen.ended, sum(status != "running" for status in tasks)),
            recorded=self.program.recorded(),
            files=files(self.program.results),
        )
        return self._seen

    async def until(self, moment: Moment, child: Child, before: Sight) -> Phase | None:
        """Wait for the moment; return the phase it came in, None if the program ended before it came."""
        look = moment.phase in ("submit", "wait", "grade")
        seen = Sight()
        while child.alive:
            if look or not seen.begun:
                seen = await self.see(child)
            else:
                results = self.program.results
                seen = Sight(begun=True, recorded=self.program.recorded(), files=files(results))
            if phase := come(moment, before, seen, self.program.tasks):
                await asyncio.sleep(moment.delay_s)
                return phase if child.alive else None
            await asyncio.sleep(LOOK_S if look or not seen.begun else POLL_S)
        return None

    async def _tasks(self) -> list[str]:
        """The status of each task that the gateway of the stack that runs now has."""
        stack = running_stack.find(self.field.data_dir / "run")
        if stack is None:
            return []
        if stack.gateway_url not in self._gateways:
            gateway = Gateway(stack.gateway_url, patience_s=0)
            self._gateways[stack.gateway_url] = await self._held.enter_async_context(gateway)
        try:
            tasks = (await self._gateways[stack.gateway_url].tasks(TASKS_MOST)).tasks
        except InfrastructureError:
            return []
        return [task.status for task in tasks]


class Tally:
    """What happened to the lives so far."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self.times: list[float] = []
        self.stumbles = 0
        self.left: list[str] = []


async def live(
    lives: Lives,
    moments: Sequence[Moment],
    told: Tally,
    progress: Callable[[int, int], object],
    killed: Callable[[], object] = lambda: None,
) -> None:
    """Kill the program at the moments, and have it end by itself.

    `progress` hears now and then of the tasks recorded and the kills; `killed` is called after each kill,
    when nothing of that life runs any more and the next has not begun.

    Raises:
        InfrastructureError: it does not get done.
    """
    waiting = list(moments)
    while True:
        before = await lives.see(None)
        child = lives.begin()
        watching = asyncio.ensure_future(_watch(lives, told, progress))
        try:
            moment = next_moment(waiting, before, lives.program.tasks) if waiting else None
            phase = await asyncio.wait_for(lives.until(moment, child, before), LIFE_S) if moment else None
            if moment and phase:
                waiting.remove(moment)
                family = _kill(child, moment.alone)
                told.times.append(time.time())
                told.phases[phase] += 1
                log.info("life %d: killed in phase %s, of %s", lives.count, phase, moment)
                told.left += await asyncio.to_thread(_survivors, family)
                killed()
                continue
            code = await asyncio.wait_for(asyncio.to_thread(child.popen.wait), LIFE_S)
        except asyncio.TimeoutError as error:
            raise InfrastructureError(f"the program takes too long: {child.tail()}") from error
        finally:
            await cancel(watching)
            if child.alive:
                child.kill()
        log.info("life %d ended with %d", lives.count, code)
        if code == 0:
            return
        told.stumbles += 1
        if told.stumbles > STUMBLES_MOST:
            raise InfrastructureError(f"the program does not get done: {child.ended()}")


def _kill(child: Child, alone: bool) -> list[psutil.Process]:
    """kill -9 the program, and what it started unless `alone`; return all of it."""
    top = psutil.Process(child.pid)
    family = [top, *top.children(recursive=True)]
    for process in family[:1] if alone else family:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    child.popen.wait()
    return family


def _survivors(family: Sequence[psutil.Process]) -> list[str]:
    """Command lines of those that outlive the program."""
    _, alive = psutil.wait_procs(family, timeout=DIES_S)
    found = []
    for process in alive:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


async def _watch(lives: Lives, told: Tally, progress: Callable[[int, int], object]) -> None:
    while True:
        progress(lives.program.recorded(), sum(told.phases.values()))
        lives.field.look()
        await asyncio.sleep(0.3)
