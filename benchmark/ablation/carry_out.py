"""Runs what is left of an ablation: model after model, cell after cell, several tasks in flight."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from atlas.config import Settings
from atlas.embedded.own_stack import Stack, reach
from atlas.errors import BadInput, InfrastructureError
from atlas.policy import POLICIES
from benchmark.ablation.estimate import most_tokens
from benchmark.ablation.plan import Cell, model_name
from benchmark.ablation.progress import AblationProgress
from benchmark.ablation.store import AblationStore
from benchmark.conditions import Variant
from benchmark.energy_sources import elsewhere
from benchmark.measure import Bench, measure
from benchmark.pooled_stack import pooled_stack, recording_of
from benchmark.recorded.recording import read_recording, save_recording
from benchmark.run_store import RunStore
from benchmark.run_summary import RunSummary, summarise
from benchmark.scoring.grader import Grader
from benchmark.solve import Grades
from benchmark.tasks import Task


@dataclass(frozen=True)
class How:
    """Where the tasks go, which, and how many at once.

    `target` None: a stack of the plan's own, with sample pools. `concurrency` None: as many as the model
    server has slots, which is what it serves well. `only`: the ids of the tasks to work on now; None: all.
    """

    settings: Settings
    target: str | None = None
    concurrency: int | None = None
    only: frozenset[str] | None = None

    def tasks(self, store: AblationStore) -> list[Task]:
        """Return those of the plan's tasks that are to be worked on now."""
        return [task for task in store.loaded.tasks if self.only is None or task.id in self.only]


async def carry_out(
    store: AblationStore, how: How, console: Console, grader: Grades | None = None
) -> list[RunSummary]:
    """Give every task that is asked for a result in every cell, or an `error`; return summaries, in order.

    Raises:
        AtlasError: the plan cannot go on; what is done is kept.
    """
    cells = store.plan.cells
    if how.target is not None and len({cell.model for cell in cells}) > 1:
        raise BadInput("a gateway serves one model: with --target a plan has one model at most")
    if how.only is not None and (absent := how.only - {task.id for task in store.loaded.tasks}):
        raise BadInput(f"{len(absent)} of the tasks asked for are none of the plan's, such as {min(absent)}")
    left = {cell.name: _left(store, how, cell) for cell in cells}
    whole = len(cells) * len(how.tasks(store))
    keys = {cell.name: (model_name(cell.model), cell.variant.name) for cell in cells}
    weights = {
        keys[cell.name]: float(most_tokens(cell.variant.policy_among(POLICIES.values(), cell.seed)))
        for cell in cells
    }
    if any(left.values()):
        async with AsyncExitStack() as held:
            if grader is None:
                isolation = how.settings.sandbox_isolation
                grader = await held.enter_async_context(Grader(isolation=isolation))
            finished = whole - sum(left.values())
            progress = held.enter_context(AblationProgress(console, left, keys, finished, weights))
            for model in dict.fromkeys(cell.model for cell in cells):
                todo = [cell for cell in cells if cell.model == model and left[cell.name]]
                if todo:
                    await _model(store, how, model, todo, grader, progress, console)
    return [_summary(store, cell) for cell in cells]  # writes what a kill after a run's last task left out


async def _model(
    store: AblationStore,
    how: How,
    model: str | None,
    cells: Sequence[Cell],
    grader: Grades,
    progress: AblationProgress,
    console: Console,
) -> None:
    settings = _settings_for(how.settings, model)
    async with _stack(settings, how.target, store, model, console) as stack:
        served = (await stack.gateway.model_facts()).model
        expected = model_name(model) if model else served
        if served != expected:
            raise BadInput(f"the gateway at {stack.gateway.url} serves {served}, the plan says {expected}")
        concurrency = how.concurrency or settings.slots
        bench = Bench(stack, grader, console, settings, concurrency, elsewhere(how.target))
        for cell in cells:
            variant = _budgeted(store, how, cell)
            progress.begins(cell.name)
            with store.run(cell) as run:
                await measure(run, how.tasks(store), variant, bench, progress)
                _concluded(store, run)


@asynccontextmanager
async def _stack(
    settings: Settings, target: str | None, store: AblationStore, model: str | None, console: Console
) -> AsyncIterator[Stack]:
    if target is not None:
        async with reach(settings, console, target=target) as stack:
            yield stack
        return
    directory = store.model_directory(model)
    async with pooled_stack(settings, directory, console) as pooled:
        samples = pooled.pool.directory
        if read_recording(samples) is None:  # samples of a deep pool that were put there say what they are
            served = (await pooled.stack.gateway.model_facts()).model
            sha256 = pooled.model.sha256 if pooled.model else ""
            save_recording(samples, recording_of(store.loaded, served, sha256))
        yield pooled.stack
        drawn, recorded = pooled.pool.drawn, pooled.pool.recorded
    console.print(
        f"samples: {drawn} drawn, {recorded} from the pool ({directory / 'pool'})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _budgeted(store: AblationStore, how: How, cell: Cell) -> Variant:
    """Return the cell's variant, with the token budget that another condition's tasks took on the average.

    It is set when the cell begins, by the tasks that are worked on then, and stays.

    Raises:
        InfrastructureError: not all of those tasks have a result, and the average would not be theirs.
    """
    if cell.tokens_of is None:
        return cell.variant
    spender = next(
        each
        for each in store.plan.cells
        if (each.variant.name, each.seed, each.model) == (cell.tokens_of, cell.seed, cell.model)
    )
    with store.run(cell) as run:
        budget = run.policy.token_budget if run.policy else 0
    if not budget:
        with store.run(spender) as run:
            spent = summarise(run, [task.id for task in how.tasks(store)])
        if lacking := len(how.tasks(store)) - spent.n:
            raise InfrastructureError(
                f"the token budget of {cell.name} is what {spender.name} takes on the average, and {lacking} "
                "of its tasks have no result: the same command retries them"
            )
        budget = math.ceil(spent.tokens_out / spent.n)
    return cell.variant.model_copy(update={"changes": cell.variant.changes | {"token_budget": budget}})


def _settings_for(settings: Settings, model: str | None) -> Settings:
    if model is None:
        return settings
    if model.endswith(".gguf"):
        return settings.model_copy(update={"model_path": Path(model)})
    return settings.model_copy(update={"model": model, "model_path": None})


def _left(store: AblationStore, how: How, cell: Cell) -> int:
    with store.run(cell) as run:
        return len(run.unfinished(how.tasks(store)))


def _summary(store: AblationStore, cell: Cell) -> RunSummary:
    with store.run(cell) as run:
        return _concluded(store, run)


def _concluded(store: AblationStore, run: RunStore) -> RunSummary:
    """Write the run's result."""
    summary = summarise(run, [task.id for task in store.loaded.tasks])
    run.save_result(summary.model_dump_json())
    return summary
