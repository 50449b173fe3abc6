"""Span embeddings of answers that were recorded without them: their tokens are read once more, not drawn.

A llama-server with patches/0003 reads an answer's tokens in one batch, behind the prompt that is in its cache
already, which costs less than drawing it. The states are those that drawing would have given, but for what
batches of quantised weights differ in (cosines near 1; `benchmark.span_equality`).
"""

from __future__ import annotations

import httpx
import numpy as np

from atlas.errors import ModelServerError
from atlas.span_embedding import SPAN_VERSION, SpanEmbedding
from benchmark.recorded.completions import Recorded


class SpanReader:
    """Reads spans through a llama-server, if it can."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._can: bool | None = None

    async def read(self, prompt: str, recorded: Recorded) -> SpanEmbedding | None:
        """Return the span embedding of an answer to a prompt; None where its tokens are not known.

        They are not where a stop string cut it, or where its text has another number of tokens than were
        drawn: then the model wrote it in other tokens. None also where the server cannot.

        Raises:
            httpx.HTTPError: the server does not answer, or refuses.
            ModelServerError: its states are no numbers.
        """
        choice = recorded.choice
        if choice.stopped_by is not None or not choice.usage.tokens_out or not await self._able():
            return None
        asked = await self._tokens(prompt, add_special=True)
        written = await self._tokens(choice.text, add_special=False)
        ended = choice.finish == "stop"  # by a token that is none of the text's
        if len(written) + ended != choice.usage.tokens_out:
            return None
        read = written if ended else written[:-1]
        body = {"content": [*asked, *read], "pooling": "none", "from_token": len(asked) - 1}
        answer = (await self._http.post("/embedding", json=body)).raise_for_status()
        (found,) = answer.json()
        try:
            return SpanEmbedding.of(np.asarray(found["embedding"], dtype=np.float64))
        except ValueError as error:
            raise ModelServerError(f"the states of a recorded answer: {error}") from error

    async def _able(self) -> bool:
        if self._can is None:
            props = (await self._http.get("/props")).raise_for_status().json()
            version = (props.get("span_embedding") or {}).get("version")
            self._can = version == SPAN_VERSION and bool(props.get("embedding_from_token"))
        return self._can

    async def _tokens(self, text: str, *, add_special: bool) -> list[int]:
        body = {"content": text, "add_special": add_special, "parse_special": add_special}
        answer = (await self._http.post("/tokenize", json=body)).raise_for_status()
        return [int(token) for token in answer.json()["tokens"]]
