"""A pool of samples that several runs share: what one has drawn, the next finds there.

    async with SamplePool(directory, llama_url) as pool:
        ...  # runs with LLAMA_URL=pool.url

The directory holds `completions.sqlite` and `model.json`: one model's completions, of one context, whatever
build of llama-server draws them. Runs may share it one after the other or at the same time through one
`SamplePool`.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from atlas.errors import BadInput
from atlas.llama import LlamaClient
from benchmark.recorded.completions import CompletionStore
from benchmark.recorded.model_app import Counts, frozen, recording
from benchmark.recorded.model_file import MODEL, read_model_facts, save_model_facts
from benchmark.recorded.serving import served
from benchmark.recorded.upstream import Upstream
from benchmark.stored import lock

COMPLETIONS = "completions.sqlite"


class SamplePool:
    """An async context manager; `url` is a model server that draws from `upstream_url` what it has not yet.

    With `read_spans` recorded answers that are asked for get the span embeddings they lack; without, only
    where the call wants them. What is drawn always brings them.

    Raises (from `async with`):
        Conflict: the pool is another model's, or in use by another process.
        ModelServerError: the upstream does not answer.
        InfrastructureError: the directory cannot be used.
    """

    def __init__(self, directory: Path, upstream_url: str, *, read_spans: bool = False) -> None:
        self.directory = directory
        self.url = ""
        self.counts = Counts()
        self._read_spans = read_spans
        self._upstream_url = upstream_url
        self._upstream: Upstream | None = None
        self._stack = AsyncExitStack()

    @property
    def drawn(self) -> int:
        """Choices that the upstream was asked for, so far."""
        return self._upstream.drawn if self._upstream else 0

    @property
    def spans_read(self) -> int:
        """Recorded choices whose span embeddings the upstream was asked for, so far."""
        return self._upstream.spans_read if self._upstream else 0

    @property
    def recorded(self) -> int:
        """Choices that were answered from the pool, so far."""
        return self.counts.recorded

    async def __aenter__(self) -> SamplePool:
        async with AsyncExitStack() as stack:
            self._take_directory(stack)
            client = LlamaClient(self._upstream_url)
            stack.push_async_callback(client.aclose)
            facts, model = await client.facts(), await client.model_facts()
            save_model_facts(self.directory, model, any_build=True)
            store = CompletionStore(self.directory / COMPLETIONS)
            stack.callback(store.close)
            self._upstream = Upstream(self._upstream_url, store, facts, read_spans=self._read_spans)
            stack.push_async_callback(self._upstream.aclose)
            app = recording(self._upstream, facts.model, self.counts)
            self.url = await stack.enter_async_context(served(app))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _take_directory(self, stack: AsyncExitStack) -> None:
        held = lock(self.directory, f"another program draws into the pool {self.directory}")
        stack.callback(os.close, held)


class FrozenPool:
    """A sample pool without a model server: what was never drawn is refused, and the task's command fails.

    Raises (from `async with`):
        BadInput: there are no samples, or nothing tells of their model.
        Conflict: the pool is in use by another process.
        InfrastructureError: the directory cannot be used, or the model's chat template not rendered.
    """

    drawn = spans_read = 0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.counts = Counts()
        self._stack = AsyncExitStack()

    @property
    def recorded(self) -> int:
        """Choices that were answered, so far."""
        return self.counts.recorded

    async def __aenter__(self) -> FrozenPool:
        facts = read_model_facts(self.directory)
        if facts is None or not (self.directory / COMPLETIONS).is_file():
            raise BadInput(f"no samples to answer from: {self.directory} needs {COMPLETIONS} and {MODEL}")
        async with AsyncExitStack() as stack:
            held = lock(self.directory, f"another program draws into the pool {self.directory}")
            stack.callback(os.close, held)
            store = CompletionStore(self.directory / COMPLETIONS)
            stack.callback(store.close)
            self.url = await stack.enter_async_context(served(frozen(store, facts, self.counts)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
