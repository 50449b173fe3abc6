"""One condition on tasks: each through a gateway, graded here, kept in a run directory.

`v3_runner` measures one condition so, `ablation` one after another on the same stack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from atlas.config import Settings
from atlas.embedded.own_stack import Stack
from atlas.policy import missing
from benchmark.conditions import Variant, lacks
from benchmark.datasets.selection import Loaded
from benchmark.energy import ENERGY, RunMeter
from benchmark.recorded.model_file import save_model_facts
from benchmark.run_store import Configuration, RunStore, TaskRecord, content_sha256
from benchmark.solve import Grades, Solver
from benchmark.tasks import Task


class Progress(Protocol):
    """Who is told of a run's tasks as they end."""

    def done(self, record: TaskRecord) -> None:
        """Hear of a task's outcome."""


@dataclass(frozen=True)
class Bench:
    """What a run needs beside its tasks.

    Attributes:
        concurrency: how many tasks are in flight at most.
        settings: those of the stack, for what its energy is counted by.
        remote: the stack is on another machine, whose energy cannot be counted from here.
    """

    stack: Stack
    grader: Grades
    console: Console
    settings: Settings
    concurrency: int = 1
    remote: bool = False


def configuration(loaded: Loaded, condition: str, seed: int) -> Configuration:
    """Return what a run directory must match to be gone on with."""
    return Configuration(
        dataset=loaded.selection.label,
        dataset_sha256=content_sha256(loaded.tasks),
        tasks=len(loaded.tasks),
        condition=condition,
        seed=seed,
        grader="official",
    )


async def measure(
    store: RunStore, tasks: Sequence[Task], variant: Variant, bench: Bench, progress: Progress
) -> None:
    """Give every unfinished task of the run a result, or an `error`.

    Raises:
        BadInput: the gateway has no such policy, or the variant changes it to what is none.
        Conflict: the run was begun with another policy or stack.
        AtlasError: the run cannot go on; what is done is kept.
    """
    gateway = bench.stack.gateway
    policy = variant.policy_among(await gateway.policies(), store.configuration.seed)
    facts = await gateway.model_facts()
    store.bind_policy(policy)
    save_model_facts(store.directory, facts)
    if lacking := lacks(missing(policy)):
        # Its tasks tell for sure: they pin the model and its weights, and the result says what they lacked.
        said = f"{variant.name} may run without a part of it: {lacking}"
        bench.console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
    solver = Solver(gateway, bench.grader, store, policy)
    async with RunMeter(bench.settings, store.directory / ENERGY, remote=bench.remote):
        await _solve_all(store.unfinished(tasks), solver, progress, bench)


async def _solve_all(tasks: Sequence[Task], solver: Solver, progress: Progress, bench: Bench) -> None:
    waiting = iter(tasks)

    async def work() -> None:
        for task in waiting:
            progress.done(await solver.solve(task))

    workers = [asyncio.ensure_future(work()) for _ in range(min(bench.concurrency, len(tasks)))]
    all_done = asyncio.gather(*workers)
    watcher = asyncio.ensure_future(bench.stack.ended())
    either: set[asyncio.Future[Any]] = {all_done, watcher}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        await (all_done if all_done.done() else watcher)
    finally:
        for each in (*workers, watcher):
            each.cancel()
        await asyncio.gather(*workers, watcher, all_done, return_exceptions=True)
