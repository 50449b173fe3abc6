"""A scripted stand-in for `LlamaClient`, for unit tests: same protocol, no weights, no clock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Literal

from atlas.contracts import LogprobSummary, Usage
from atlas.events import Choice
from atlas.llama import CompletionRequest, CompletionResult, Message, OnTokens, ServerFacts
from atlas.thinking import ThinkingTags

Script = Callable[[CompletionRequest], str]


class FakeModelServer:
    """Answers each call with `script(request)`; remembers the requests it was sent.

    A thinking model if it is given `tags`.
    """

    def __init__(
        self, script: Script, *, hold: asyncio.Event | None = None, tags: ThinkingTags | None = None
    ) -> None:
        self.script, self.tags = script, tags
        self.hold = hold
        self.requests: list[CompletionRequest] = []

    async def chat_prompt(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """Join the messages plainly."""
        text = "\n".join(f"<{m['role']}>{m['content']}" for m in messages) + "\n<assistant>"
        return self.tags.begun(text) if thinking and self.tags else text

    async def thinking(self) -> ThinkingTags | None:
        """The tags it was given: None unless it is to think."""
        return self.tags

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        """Return `request.n` copies of the scripted text, cut at a stop string, then at `max_tokens`.

        One token is a blank-led word.
        """
        self.requests.append(request)
        if self.hold:
            await self.hold.wait()
        text, stopped_by = _cut(self.script(request), request.stop)
        tokens = re.findall(r"\s*\S+|\s+\Z", text) or [""]
        whole = len(tokens) <= request.sampling.max_tokens
        tokens = tokens[: request.sampling.max_tokens]
        text = "".join(tokens)
        usage = Usage(tokens_in=len(request.prompt.split()), tokens_out=len(tokens))
        if on_tokens:
            on_tokens(usage.tokens_out * request.n)
        logprob = LogprobSummary(mean=-0.1, minimum=-1.0, lowest_decile=-0.5)
        finish: Literal["stop", "length"] = "stop" if whole else "length"
        choice = Choice(
            text=text,
            usage=usage,
            finish=finish,
            stopped_by=stopped_by if whole else None,
            logprob=logprob,
        )
        return CompletionResult(choices=(choice,) * request.n, slot=0, server_s=0.0)

    async def ready(self) -> str | None:
        """Always ready."""
        return None

    async def model(self) -> str:
        """The fake's name."""
        return "fake"

    async def facts(self) -> ServerFacts:
        """A server without span embeddings."""
        return ServerFacts(model=await self.model(), context_tokens=16_384, slots=4)

    async def aclose(self) -> None:
        """Nothing to release."""


def _cut(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """Return the text before the first of the stop strings, and that string."""
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop
