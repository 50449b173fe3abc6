"""Several llama-servers of one model, one on each GPU: a task stays with the one that holds its prefix.

Where a task went is in its journal (`ModelCallFinished.server`). Before its first call it goes where
rendezvous hashing puts it (Thaler and Ravishankar 1998), or, if that server has no slot left, where the hash
says next (bounded loads, Mirrokni et al. 2018). A server that is away is left out; its tasks go on at
another, and their prefix is read anew there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Gauge

from atlas.cancellation import cancel
from atlas.errors import ModelServerError
from atlas.llama import (
    PATIENCE_S,
    CompletionRequest,
    CompletionResult,
    LlamaClient,
    Message,
    OnTokens,
    ServerAway,
    ServerFacts,
    while_away,
)
from atlas.model_facts import ModelFacts, Weights
from atlas.span_embedding import Pooling, TextEmbedding
from atlas.thinking import USUAL_TAGS, ThinkingTags

log = logging.getLogger(__name__)

PROBE_S = 1.0  # how often a server that is away is asked whether it is back
TRUST_S = 30.0  # how long what a server said of its weights is believed
UP = Gauge(
    "atlas_llama_server_up", "1 while the llama-server takes calls, as this process sees it", ["server"]
)
T = TypeVar("T")


@dataclass(eq=False)
class _Member:
    """One server as this process sees it; `calls`: those of ours that it has in hand."""

    client: LlamaClient
    calls: int = 0
    slots: int = 0
    weights: Weights | None = None
    asked: float = 0.0
    probe: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def away(self) -> bool:
        return self.probe is not None

    @property
    def full(self) -> bool:
        return 0 < self.slots <= self.calls


class LlamaFleet:
    """Speaks to several llama-servers as `LlamaClient` does to one, and raises as it does.

    A call goes to another server as long as nothing of an answer has come. ModelServerError besides,
    retryable: they do not serve the same weights, so that nothing is drawn until that is mended.
    """

    def __init__(
        self, urls: Sequence[str], *, patience_s: float = PATIENCE_S, tags: ThinkingTags = USUAL_TAGS
    ) -> None:
        # Each is asked once: patience is for when none is left.
        self._members = [_Member(LlamaClient(url, patience_s=0, tags=tags)) for url in urls]
        self._patience_s = patience_s
        for member in self._members:
            UP.labels(member.client.name).set(1)

    async def aclose(self) -> None:
        """Release connections."""
        for member in self._members:
            if member.probe is not None:
                await cancel(member.probe)
            await member.client.aclose()

    def addresses(self, key: str) -> tuple[str, ...]:
        """Return where a chat of that key may be taken, the best place first."""
        return tuple(member.client.url for member in self._order(key))

    async def ready(self) -> str | None:
        """None when at least one can take calls and all that answer serve the same weights, else why not."""
        told = await asyncio.gather(*(member.client.ready() for member in self._members))
        if all(told):
            return "; ".join(filter(None, told))
        for member, problem in zip(self._members, told, strict=True):
            if problem:
                self._leave_out(member, problem)
        try:
            await self._see_weights()
        except ModelServerError as error:
            return str(error)
        return None

    async def model(self) -> str:
        """Return the served model's alias; every server is asked once at most."""
        return await self._somewhere("", lambda member: member.client.model(), patience_s=0)

    async def facts(self) -> ServerFacts:
        """Return what one of the servers says of itself; every server is asked once at most."""
        return await self._somewhere("", lambda member: member.client.facts(), patience_s=0)

    async def model_facts(self, thinking_tags: str = "") -> ModelFacts:
        """Return what one of the servers says of the model; `slots` are that server's."""
        return await self._somewhere("", lambda member: member.client.model_facts(thinking_tags))

    async def chat_prompt(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """Render messages with the model's own chat template, up to where its answer or thinking begins."""
        return await self._somewhere(
            "", lambda member: member.client.chat_prompt(messages, thinking=thinking)
        )

    async def thinking(self) -> ThinkingTags | None:
        """Return the tags of the model's thinking, or None if its template has no thinking mode."""
        return await self._somewhere("", lambda member: member.client.thinking())

    async def embed(self, text: str, pooling: Pooling | None = None) -> TextEmbedding:
        """Read a text and return its states in one vector."""
        return await self._somewhere("", lambda member: member.client.embed(text, pooling))

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        """Draw the completions where the task's prefix is, else where the task belongs by its hash."""

        async def on(member: _Member) -> CompletionResult:
            member.calls += 1
            try:
                return await member.client.complete(request, on_tokens)
            finally:
                member.calls -= 1

        return await self._somewhere(request.task or request.prompt, on, holder=request.server)

    def _order(self, key: str, holder: str | None = None) -> list[_Member]:
        """Return whom to ask, best first: the holder of the prefix, then by hash those with a free slot."""
        there = [member for member in self._members if not member.away] or self._members

        def rank(member: _Member) -> tuple[bool, bool, bytes]:
            name = member.client.name
            score = hashlib.sha256(f"{key} {name}".encode()).digest()
            return name != holder, member.full, score

        return sorted(there, key=rank)

    async def _somewhere(
        self,
        key: str,
        work: Callable[[_Member], Awaitable[T]],
        *,
        holder: str | None = None,
        patience_s: float | None = None,
    ) -> T:
        """Carry out `work` on the first server that is there; wait a little where none is."""

        async def once() -> T:
            await self._see_weights()
            reason: ServerAway | None = None
            for member in self._order(key, holder):
                try:
                    return await work(member)
                except ServerAway as error:
                    self._leave_out(member, str(error))
                    reason = error
            raise reason or ServerAway("LLAMA_URL names no server")

        return await while_away(self._patience_s if patience_s is None else patience_s)(once)

    async def _see_weights(self) -> None:
        """Ask those that are there what they serve, unless they said so lately.

        Raises:
            ModelServerError: it is not the same.
        """
        now = time.monotonic()
        due = [m for m in self._members if not m.away and (m.weights is None or now - m.asked > TRUST_S)]
        if not due:
            return
        await asyncio.gather(*(self._ask(member) for member in due))
        told = {m.client.name: m.weights for m in self._members if m.weights is not None and not m.away}
        if len(set(told.values())) > 1:
            for member in self._members:
                member.weights = None
            each = "; ".join(f"{name} serves {weights}" for name, weights in told.items())
            raise ModelServerError(f"every server of LLAMA_URL must serve the same weights, but {each}")

    async def _ask(self, member: _Member) -> None:
        try:
            member.weights = await member.client.weights()
            member.slots = (await member.client.facts()).slots
            member.asked = time.monotonic()
        except ServerAway as error:
            self._leave_out(member, str(error))

    def _leave_out(self, member: _Member, reason: str) -> None:
        if member.away:
            return
        log.warning("llama-server %s is left out: %s", member.client.name, reason)
        UP.labels(member.client.name).set(0)
        member.weights = None
        member.probe = asyncio.create_task(self._bring_back(member))

    async def _bring_back(self, member: _Member) -> None:
        while await member.client.ready() is not None:  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(PROBE_S)
        log.warning("llama-server %s is back", member.client.name)
        UP.labels(member.client.name).set(1)
        member.probe = None


def connect_model(urls: Sequence[str], tags: ThinkingTags = USUAL_TAGS) -> LlamaClient | LlamaFleet:
    """Return a client of the one server, or of all of them."""
    return LlamaClient(urls[0], tags=tags) if len(urls) == 1 else LlamaFleet(urls, tags=tags)
