"""One run of `python -m benchmark.ablation` on its own stack, killed at its moments."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.api import SubmitRequest
from atlas.client import Gateway
from benchmark.recorded.pool import COMPLETIONS
from tests.chaos.ablation_verdict import Ablation, Drawn, read
from tests.chaos.field import Field
from tests.chaos.lives import Lives, Program, Tally, live
from tests.chaos.request_log import Request, choice_name
from tests.chaos.runner_moments import Moment
from tests.chaos.runner_run import CONCURRENCY, TOKENS_PER_SECOND, journals_of, write_dataset

# Both conditions draw the same samples of each seed; the second repairs, too.
PLAN = """
name = "chaos"
seeds = [0, 1]
[tasks]
dataset = "{dataset}"
[[conditions]]
name = "samples"
policy = "resample"
k = 3
token_budget = 0
[[conditions]]
name = "repairs"
policy = "resample"
k = 3
token_budget = 0
repairs = 2
"""
CELLS = 4


@dataclass(frozen=True)
class AblationRun:
    """What came of it.

    `phases`: kills by phase, `deaths` their times. `pool`: what was drawn already, at each of them.
    `stumbles`: lives that ended by themselves before all was done. `left`: command lines of what still ran
    when it should not.
    """

    finished: Ablation
    requests: Sequence[Request]
    phases: Counter[str]
    deaths: Sequence[float]
    pool: Sequence[Drawn]
    stumbles: int
    left: Sequence[str]


async def drive(
    requests: Sequence[SubmitRequest],
    directory: Path,
    moments: Sequence[Moment] = (),
    *,
    progress: Callable[[int, int], object] = lambda recorded, killed: None,
) -> AblationRun:
    """Have the plan carried out in `directory`, and kill it at the moments; then look at its stack's journal.

    The model server is never killed, so that its log of requests is whole.

    Raises:
        InfrastructureError: the stack does not start, or the ablation does not get done.
    """
    whole = directory / "ablation"
    plan = directory / "plan.toml"
    dataset = write_dataset(requests, directory)
    plan.write_text(PLAN.format(dataset=dataset.name), encoding="utf-8")
    # The stack's own directory, so that we find the stack of each life there, and may start it in the end.
    model = whole / "model"
    field = Field(directory, tokens_per_second=TOKENS_PER_SECOND, processes=False, data_dir=model / "stack")
    arguments = [str(plan), "--dir", str(whole), "--concurrency", str(CONCURRENCY), "--json"]
    program = Program(
        command=[sys.executable, "-m", "benchmark.ablation", *arguments],
        environment=field.environment,
        results=whole / "runs",
        records="*/tasks/*.json",
        tasks=CELLS * len(requests),
        begun="plan chaos: ",
    )
    told, left, pool = Tally(), list[str](), list[Drawn]()
    try:
        field.start_model()
        async with Lives(field, program) as lives:
            await live(
                lives,
                moments,
                told,
                progress,
                killed=lambda: pool.append(drawn(model / "pool" / COMPLETIONS)),
            )
        result = json.loads(lives.output().splitlines()[-1])
        await field.start_stack()
        async with Gateway(field.url) as gateway:
            journals = await journals_of(gateway)
        finished = read(whole, journals, result)
    finally:
        left += await asyncio.to_thread(field.stop)
    left += told.left
    return AblationRun(finished, field.requests, told.phases, told.times, pool, told.stumbles, left)


def drawn(completions: Path) -> Drawn:
    """Return what the pool has; nobody draws into it now."""
    if not completions.exists():
        return Drawn(time.time(), frozenset())
    database = sqlite3.connect(completions)
    try:
        tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'completions'").fetchall()
        rows = database.execute("SELECT prompt, seed FROM completions").fetchall() if tables else []
    finally:
        database.close()
    return Drawn(time.time(), frozenset(choice_name(prompt, seed) for prompt, seed in rows))
