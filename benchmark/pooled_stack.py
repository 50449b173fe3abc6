"""A stack of its own whose model calls go through a sample pool: what was drawn once is not drawn again.

llama-server (a child, started again when it dies) ◀── SamplePool ◀── `atlas up` (another DATA_DIR and ports)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from atlas import models
from atlas.cli_progress import pull_shown
from atlas.config import Settings
from atlas.embedded import own_stack
from atlas.embedded.own_stack import Stack
from atlas.embedded.stack import Children
from atlas.models import ModelFile
from benchmark.datasets.selection import Loaded
from benchmark.recorded.completions import sha256
from benchmark.recorded.pool import FrozenPool, SamplePool
from benchmark.recorded.recording import Recording
from benchmark.run_store import content_sha256

SAMPLES = "pool"
ELSEWHERE = "none"  # an address for a part that is not to be started


@dataclass(frozen=True)
class Pooled:
    """The stack, the pool that its model calls go through, and the model's file where it was started here."""

    stack: Stack
    pool: SamplePool | FrozenPool
    model: ModelFile | None = None


@asynccontextmanager
async def pooled_stack(
    settings: Settings,
    directory: Path,
    console: Console,
    *,
    samples: Path | None = None,
    frozen: bool = False,
    read_spans: bool = False,
) -> AsyncIterator[Pooled]:
    """Start everything for the model of the settings, and stop it at the end.

    `directory` keeps the samples (`pool/`, or `samples` elsewhere) and the stack's journal (`stack/`), so
    that after a kill the next to come finds both. A model server elsewhere (the first of LLAMA_URL) is drawn
    from where it is; with `frozen` there is none, and samples that were never drawn cannot be had;
    `read_spans` is `SamplePool`'s. Enter it in the main thread: children die with the thread that started
    them.

    Raises:
        AtlasError: the model is missing, something cannot start, or the pool is another model's.
    """
    samples = samples or directory / SAMPLES
    model: ModelFile | None = None
    async with AsyncExitStack() as held:
        if frozen:
            pool: SamplePool | FrozenPool = await held.enter_async_context(FrozenPool(samples))
        else:
            upstream, *_ = settings.llama_urls or ("",)
            if not upstream:
                upstream, model = await held.enter_async_context(_model_server(settings, directory))
            pool = await held.enter_async_context(SamplePool(samples, upstream, read_spans=read_spans))
        own = {"data_dir": directory / "stack", "llama_url": pool.url}
        stack = await held.enter_async_context(
            own_stack.private(settings.model_copy(update=own | {"redis_url": None}), console)
        )
        yield Pooled(stack, pool, model)


def recording_of(loaded: Loaded, model: str, model_sha256: str) -> Recording:
    """Return what samples for these tasks are drawn from, whatever the policies."""
    return Recording(
        dataset=loaded.selection.label,
        dataset_sha256=content_sha256(loaded.tasks),
        ids_sha256=sha256(json.dumps(sorted(task.id for task in loaded.tasks))),
        tasks=len(loaded.tasks),
        model=model,
        model_sha256=model_sha256,
    )


@asynccontextmanager
async def _model_server(settings: Settings, directory: Path) -> AsyncIterator[tuple[str, ModelFile]]:
    if settings.model_path is None:
        await asyncio.to_thread(pull_shown, settings.model, models.models_dir_of(settings))
    model = await asyncio.to_thread(models.resolve, settings)
    alone = {"data_dir": directory / "llama", "redis_url": ELSEWHERE, "executor_url": ELSEWHERE}
    async with Children(settings.model_copy(update=alone), model) as started:
        if started.llama_url is None:
            raise AssertionError("a model server was started without an address")
        yield started.llama_url, model
