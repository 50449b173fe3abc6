"""Span embeddings of answers that were recorded without them: their tokens are read once more, not drawn.

A llama-server with patches/0003 reads an answer's tokens in one batch, behind the prompt that is in its cache
already, and none is drawn. The states are those that drawing would have given, but for what
batches of quantised weights differ in (cosines near 1; `benchmark.span_equality`).
"""

from __future__ import annotations

import httpx
import numpy as np

from atlas.errors import ModelServerError
from atlas.span_embedding import SpanEmbedding
from benchmark.recorded.completions import Recorded


async def read_span(http: httpx.AsyncClient, prompt: str, recorded: Recorded) -> SpanEmbedding | None:
    """Return the span embedding of an answer to a prompt; None where its tokens are not known.

    They are not where a stop string cut it, or where its text has another number of tokens than were drawn:
    then the model wrote it in other tokens.

    Args:
        http: to a llama-server that says `ServerFacts.from_token` and `span_n_embd`.
        prompt: as it was asked.
        recorded: the answer.

    Raises:
        httpx.HTTPError: the server does not answer, or refuses.
        ModelServerError: its states are no numbers.
    """
    choice = recorded.choice
    if choice.stopped_by is not None or not choice.usage.tokens_out:
        return None
    asked = await _tokens(http, prompt, special=True)
    written = await _tokens(http, choice.text, special=False)
    ended = choice.finish == "stop"  # by a token that is none of the text's
    if len(written) + ended != choice.usage.tokens_out:
        return None
    read = written if ended else written[:-1]
    body = {"content": [*asked, *read], "pooling": "none", "from_token": len(asked) - 1}
    answer = (await http.post("/embedding", json=body)).raise_for_status()
    (found,) = answer.json()
    try:
        return SpanEmbedding.of(np.asarray(found["embedding"], dtype=np.float64))
    except ValueError as error:
        raise ModelServerError(f"the states of a recorded answer: {error}") from error


async def _tokens(http: httpx.AsyncClient, text: str, *, special: bool) -> list[int]:
    body = {"content": text, "add_special": special, "parse_special": special}
    answer = (await http.post("/tokenize", json=body)).raise_for_status()
    return [int(token) for token in answer.json()["tokens"]]
