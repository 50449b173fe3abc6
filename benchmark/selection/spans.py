"""Finds the span embedding of a candidate of a pool: in its journal, or among the pool's samples."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from atlas.lens.vectors import Drawing
from atlas.span_embedding import SpanEmbedding
from benchmark.pack_pool import samples_of
from benchmark.recorded.completions import SEEDS, Call, CompletionStore
from benchmark.recorded.pool import COMPLETIONS
from benchmark.selection.pools import PooledTask


class Spans:
    """Holds the samples of pools open while spans are looked for; to be closed, as a context is."""

    def __init__(self) -> None:
        self._stores: dict[Path, CompletionStore | None] = {}
        self._held = ExitStack()

    def __enter__(self) -> Spans:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def of(self, task: PooledTask, drawing: Drawing | None) -> SpanEmbedding | None:
        """Return the span that came with a drawing of the task; None where none was kept.

        Raises:
            InfrastructureError: the samples cannot be read.
        """
        if drawing is None or drawing.choice.span is not None:
            return drawing.choice.span if drawing else None
        store = self._store(task.pool)
        if store is None:
            return None
        made = drawing.call
        call = Call(
            model=task.model,
            prompt=made.prompt,
            sampling=made.sampling,
            n=len(made.choices),
            stop=None,
            schema_sha256=made.schema_sha256,
            embedding=True,
        )
        found = store.find(call, (made.sampling.seed + drawing.place) % SEEDS)
        # The same text: a store may hold several drawings of one seed.
        same = found is not None and found.choice.text == drawing.choice.text
        return found.choice.span if found is not None and same else None

    def _store(self, pool: Path) -> CompletionStore | None:
        if pool not in self._stores:
            path = samples_of(pool) / COMPLETIONS
            store = CompletionStore(path) if path.is_file() else None
            if store is not None:
                self._held.callback(store.close)
            self._stores[pool] = store
        return self._stores[pool]
