"""Calls to a real llama-server that several askers may wait for: drawn once, heard by all, recorded first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from httpx_sse import SSEError, aconnect_sse

from atlas.cancellation import cancel
from atlas.errors import AtlasError, ModelServerError
from atlas.llama import ONCE, ServerFacts
from atlas.llama_stream import PATH
from benchmark.recorded.chunks import recorded_of
from benchmark.recorded.completions import Call, CompletionStore, Recorded
from benchmark.recorded.read_spans import read_span

IDLE_TIMEOUT_S = 600.0
SPAN = {"return_embedding": True, "return_prompt_embedding": True, "embedding_encoding": "float16"}
BROKEN = (AtlasError, httpx.HTTPError, SSEError)


class Refused(ModelServerError):
    """The upstream answered with an error; `answered` and `content` are what it said."""

    def __init__(self, answered: int, content: bytes) -> None:
        super().__init__(f"llama-server answers {answered}: {content.decode('utf-8', 'replace')[:300]}")
        self.answered, self.content = answered, content


class Drawing:
    """One call to the upstream. It goes on as long as somebody follows it, and is recorded when it is whole.

    The last chunk of every choice is held back until the store has the call: whoever has the answer may rely
    on its being there. `forget` is called as soon as nobody new should follow it.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        body: dict[str, Any],
        call: Call,
        store: CompletionStore,
        n_embd: int | None,
        forget: Callable[[], None],
    ) -> None:
        self._http, self._body, self._call, self._store, self._n_embd = http, body, call, store, n_embd
        self._forget = forget
        self._chunks: list[list[dict[str, Any]]] = [[] for _ in call.seeds]
        self._whole = False
        self._begun = asyncio.Event()
        self._news = asyncio.Event()
        self._followers = 0
        self._work = asyncio.ensure_future(self._draw())
        self._work.add_done_callback(lambda _: forget())

    def join(self) -> None:
        """Begin to follow it."""
        self._followers += 1

    async def leave(self) -> None:
        """Cease to follow it; without followers it is given up, and its slot is freed."""
        self._followers -= 1
        if not self._followers:
            self._forget()
            await cancel(self._work)

    async def begun(self) -> None:
        """Wait until the upstream has taken the call.

        Raises:
            Refused: it has not.
            httpx.HTTPError: it cannot be reached.
        """
        waiting = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({waiting, self._work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(waiting)
        if self._work.done():
            await self._work

    async def follow(self, index: int) -> AsyncIterator[dict[str, Any]]:
        """Yield the chunks of one choice as they come, the last when it is recorded.

        Raises:
            AtlasError, httpx.HTTPError, SSEError: the call broke off.
        """
        position = 0
        while True:
            news, chunks = self._news, self._chunks[index]
            while position < len(chunks) and (self._whole or not chunks[position]["stop"]):
                yield chunks[position]
                position += 1
            if self._work.done():
                await self._work
                return
            ended = asyncio.ensure_future(news.wait())
            try:
                await asyncio.wait({ended, self._work}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(ended)

    async def _draw(self) -> None:
        async with aconnect_sse(self._http, "POST", PATH, json=self._body, headers=ONCE) as source:
            if source.response.status_code != 200:
                raise Refused(source.response.status_code, await source.response.aread())
            self._begun.set()
            async for sse in source.aiter_sse():
                self._take(sse.data)
        recorded = recorded_of(self._call, self._chunks, self._n_embd)
        self._store.add(self._call, dict(zip(self._call.seeds, recorded, strict=True)))
        self._whole = True

    def _take(self, data: str) -> None:
        chunk = json.loads(data)
        if error := chunk.get("error"):
            raise ModelServerError(f"llama-server broke off: {error}")
        self._chunks[chunk["index"]].append(chunk)
        self._news.set()
        self._news = asyncio.Event()


class Upstream:
    """The llama-server that draws what the store does not have."""

    def __init__(
        self, url: str, store: CompletionStore, facts: ServerFacts, *, read_spans: bool = False
    ) -> None:
        timeout = httpx.Timeout(IDLE_TIMEOUT_S, connect=5.0)
        limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
        self.http = httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False)
        self.drawn = self.spans_read = 0
        self._read_spans = read_spans
        self._store, self._facts = store, facts
        self._under_way: dict[tuple[str, int], tuple[Drawing, int]] = {}

    async def aclose(self) -> None:
        """Release connections."""
        await self.http.aclose()

    def drawing(self, call: Call, body: dict[str, Any], seeds: list[int]) -> list[tuple[Drawing, int]]:
        """Return the drawing of each seed, which may be under way already, and the choice's index in it.

        Each is joined once for each time it is in the list.
        """
        found: list[tuple[Drawing, int]] = []
        for position, seed in enumerate(seeds):
            if self._name(call, seed) not in self._under_way:
                self._begin(call, body, _in_a_row(call, seeds[position:], lambda s: self._known(call, s)))
            drawing, index = self._under_way[self._name(call, seed)]
            drawing.join()
            found.append((drawing, index))
        return found

    async def found(self, call: Call, seed: int) -> Recorded | None:
        """Return a choice of the store; one that lacks the span that is wanted gets it, if it can be read.

        Raises:
            Refused: the upstream answers with an error, such as that the text is too long for it.
            AtlasError, httpx.HTTPError: it fails at it.
        """
        known = self._store.find(call, seed)
        wanted = call.embedding or (self._read_spans and call.schema_sha256 is None)
        able = self._facts.from_token and self._facts.span_n_embd is not None
        if not (wanted and able) or (known and known.choice.span):
            return known
        bare = known or self._store.find(call.model_copy(update={"embedding": False}), seed)
        try:
            span = await read_span(self.http, call.prompt, bare) if bare else None
        except httpx.HTTPStatusError as error:
            raise Refused(error.response.status_code, error.response.content) from error
        if bare is None or span is None:
            return known
        self.spans_read += 1
        whole = bare.model_copy(update={"choice": bare.choice.model_copy(update={"span": span})})
        self._store.add_span(call, seed, whole)
        return whole

    def _known(self, call: Call, seed: int) -> bool:
        return self._name(call, seed) in self._under_way

    def _begin(self, call: Call, body: dict[str, Any], seeds: list[int]) -> None:
        sampling = call.sampling.model_copy(update={"seed": seeds[0]})
        ours = call.model_copy(update={"sampling": sampling, "n": len(seeds)})
        body = body | {"seed": seeds[0], "n_cmpl": len(seeds)}
        n_embd = self._facts.span_n_embd
        if n_embd is not None:  # drawn for whoever may want it
            body |= SPAN
        names = [self._name(call, seed) for seed in seeds]

        def forget() -> None:
            for name in names:
                if self._under_way.get(name, (None, 0))[0] is drawing:
                    del self._under_way[name]

        drawing = Drawing(self.http, body, ours, self._store, n_embd, forget)
        self.drawn += len(seeds)
        for index, name in enumerate(names):
            self._under_way[name] = drawing, index

    @staticmethod
    def _name(call: Call, seed: int) -> tuple[str, int]:
        content = f"{call.key} {call.sampling.max_tokens} {call.stop!r}"
        return content, 0 if call.greedy else seed


def _in_a_row(call: Call, seeds: list[int], known: Callable[[int], bool]) -> list[int]:
    """Return the first seeds that follow one another and are not being drawn: one call draws them."""
    row = seeds[:1]
    for seed in seeds[1:]:
        if call.greedy or seed != (row[-1] + 1) % 2**32 or known(seed):
            break
        row.append(seed)
    return row
