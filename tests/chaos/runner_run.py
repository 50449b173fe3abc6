"""One run of `benchmark/v3_runner.py` as a child process: killed at its moments, started again until done."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from atlas.api import SubmitRequest
from atlas.cancellation import cancel
from atlas.client import Gateway
from atlas.embedded.process import Child
from atlas.errors import InfrastructureError
from tests.chaos.field import REPO, Field
from tests.chaos.request_log import Request
from tests.chaos.runner_moments import Moment, Sight, files, has_begun
from tests.chaos.runner_verdict import Finished, read
from tests.chaos.schedule import STACK, Killed

log = logging.getLogger(__name__)

TOKENS_PER_SECOND = 100
CONCURRENCY = 2
RUN_ID = "chaos"
POLL_S = 0.001
LOOK_S = 0.02
LIFE_S = 180.0
DIES_S = 5.0
STUMBLES_MOST = 5


@dataclass(frozen=True)
class RunnerRun:
    """What came of it.

    `phases`: kills by phase. `stumbles`: lives that ended by themselves before all was done. `left`: command
    lines of what still ran when it should not. `stack_kills`: kills that took a stack along, and when.
    """

    finished: Finished
    requests: Sequence[Request]
    phases: Counter[str]
    stumbles: int
    left: Sequence[str]
    stack_kills: Sequence[Killed]


def write_dataset(requests: Sequence[SubmitRequest], directory: Path) -> Path:
    """Write the tasks in LiveCodeBench's schema: the examples as public tests, one more as the hidden one."""
    directory.mkdir(parents=True)
    path = directory / "tasks.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for request in requests:
            problem = request.problem
            words = problem.statement.removesuffix(".").split()
            factor, offset = int(words[-3]), int(words[-1])
            hidden = [{"input": "7 30\n", "output": f"{37 * factor + offset}\n", "testtype": "stdin"}]
            row = {
                "question_id": problem.title,
                "platform": "chaos",
                "question_title": problem.title,
                "question_content": problem.statement,
                "starter_code": "",
                "difficulty": "easy",
                "contest_date": "2026-01-01T00:00:00",
                "public_tests": [
                    {"input": each.input, "output": each.output, "testtype": "stdin"}
                    for each in problem.examples
                ],
                "private_tests": hidden,
                "metadata": {},
            }
            file.write(json.dumps(row) + "\n")
    return path


class Lives:
    """The runner, again and again: the same command each time."""

    def __init__(self, field: Field, dataset: Path, condition: str, tasks: int) -> None:
        self.field, self.tasks = field, tasks
        self.run = field.directory / "runs" / RUN_ID
        self._temporary = field.directory / "tmp"
        self._temporary.mkdir()
        arguments = ["--dataset", str(dataset), "--condition", condition, "--run-id", RUN_ID]
        arguments += ["--concurrency", str(CONCURRENCY), "--runs-dir", str(self.run.parent), "--json"]
        self._command = [sys.executable, str(REPO / "benchmark" / "v3_runner.py"), *arguments]
        self.count = 0

    def begin(self) -> Child:
        """Start the runner once more."""
        self.count += 1
        environment = self.field.environment | {"TMPDIR": str(self._temporary)}
        return Child.spawn(f"life-{self.count}", self._command, self.field.directory, env=environment)

    async def see(self, child: Child | None, gateway: Gateway) -> Sight:
        """Look at everything there is to see; a gateway that is away has no tasks."""
        try:
            tasks = (await gateway.tasks(200)).tasks
        except InfrastructureError:
            tasks = ()
        return Sight(
            begun=child is not None and "tasks done" in child.tail(50),
            submitted=len(tasks),
            asked=len(self.field.requests),
            ended=sum(task.status != "running" for task in tasks),
            recorded=self.recorded(),
            files=files(self.run),
        )

    async def until(self, moment: Moment, child: Child, before: Sight, gateway: Gateway) -> bool:
        """Wait for the moment; False if the runner ended before it came."""
        look = moment.phase in ("submit", "wait", "grade")
        seen = Sight()
        while child.alive:
            if look or not seen.begun:
                seen = await self.see(child, gateway)
            else:
                seen = Sight(begun=True, recorded=self.recorded(), files=files(self.run))
            if has_begun(moment.phase, before, seen, self.tasks):
                await asyncio.sleep(moment.delay_s)
                return child.alive
            await asyncio.sleep(LOOK_S if look or not seen.begun else POLL_S)
        return False

    def recorded(self) -> int:
        """How many tasks have a record."""
        return len(list((self.run / "tasks").glob("*.json")))


async def drive(
    requests: Sequence[SubmitRequest],
    directory: Path,
    moments: Sequence[Moment] = (),
    *,
    condition: str,
    own_stack: bool = False,
    progress: Callable[[int, int], object] = lambda recorded, killed: None,
) -> RunnerRun:
    """Have the runner measure the tasks in `directory`, and kill it at the moments.

    With `own_stack` no stack runs: each life of the runner starts its own, which ends with it. The model
    server is never killed, so that its log of requests is whole.

    Raises:
        InfrastructureError: the stack does not start, or the runner does not get done.
    """
    dataset = write_dataset(requests, directory)
    field = Field(directory, tokens_per_second=TOKENS_PER_SECOND, processes=False)
    lives = Lives(field, dataset, condition, len(requests))
    told, left = Tally(), list[str]()
    try:
        if own_stack:
            field.start_model()
        else:
            await field.start()
        await _live(lives, moments, own_stack, told, progress)
        if own_stack:
            await field.start_stack()
        async with Gateway(field.url) as gateway:
            ids = [task.id for task in (await gateway.tasks(200)).tasks]
            journals = {task: await gateway.journal(task) for task in ids}
        finished = read(lives.run, journals)
    finally:
        left += await asyncio.to_thread(field.stop)
    stack_kills = [Killed(STACK, time_) for time_ in told.times] if own_stack else []
    left += told.left
    return RunnerRun(finished, field.requests, told.phases, told.stumbles, left, stack_kills)


class Tally:
    """What happened to the lives so far."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self.times: list[float] = []
        self.stumbles = 0
        self.left: list[str] = []


async def _live(
    lives: Lives,
    moments: Sequence[Moment],
    own_stack: bool,
    told: Tally,
    progress: Callable[[int, int], object],
) -> None:
    waiting = list(moments)
    async with Gateway(lives.field.url, patience_s=0) as gateway:
        while True:
            before = await lives.see(None, gateway)
            child = lives.begin()
            watching = asyncio.ensure_future(_watch(lives, told, progress))
            try:
                if waiting and await asyncio.wait_for(
                    lives.until(waiting[0], child, before, gateway), LIFE_S
                ):
                    moment = waiting.pop(0)
                    family = _kill(child, moment.alone)
                    told.times.append(time.time())
                    told.phases[moment.phase] += 1
                    log.info("life %d: killed at %s", lives.count, moment)
                    told.left += await asyncio.to_thread(_survivors, family)
                    continue
                code = await asyncio.wait_for(asyncio.to_thread(child.popen.wait), LIFE_S)
            except asyncio.TimeoutError as error:
                raise InfrastructureError(f"the runner takes too long: {child.tail()}") from error
            finally:
                await cancel(watching)
                if child.alive:
                    child.kill()
            log.info("life %d ended with %d", lives.count, code)
            if code == 0:
                return
            told.stumbles += 1
            if told.stumbles > STUMBLES_MOST:
                raise InfrastructureError(f"the runner does not get done: {child.ended()}")


def _kill(child: Child, alone: bool) -> list[psutil.Process]:
    """kill -9 the runner, and what it started unless `alone`; return all of it."""
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
    """Command lines of those that outlive the runner."""
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
        progress(lives.recorded(), sum(told.phases.values()))
        lives.field.look()
        await asyncio.sleep(0.3)
