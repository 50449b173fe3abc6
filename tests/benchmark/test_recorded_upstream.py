"""The server behind a sample pool: what it refuses is told as it is."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from atlas.contracts import SamplingParams, Usage
from atlas.events import Choice
from atlas.llama import ServerFacts
from benchmark.recorded.completions import Call, CompletionStore, Recorded
from benchmark.recorded.upstream import Refused, Upstream

FACTS = ServerFacts(model="m", context_tokens=64, slots=1, span_n_embd=4, from_token=True)


async def test_a_text_that_cannot_be_read_once_more_is_refused_as_the_server_refuses_it(
    tmp_path: Path,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/tokenize":
            return httpx.Response(200, json={"tokens": [1, 2]})
        return httpx.Response(400, json={"error": {"message": "input is too large"}})

    call = Call(model="m", prompt="p", sampling=SamplingParams(temperature=0.7, max_tokens=9, seed=1))
    choice = Choice(text="a b", usage=Usage(tokens_in=2, tokens_out=3), finish="stop")
    store = CompletionStore(tmp_path / "completions.sqlite")
    store.add(call, {1: Recorded(choice=choice, asked=9, stop=(), predicted_s=0.1)})
    upstream = Upstream("http://model", store, FACTS, read_spans=True)
    await upstream.http.aclose()
    upstream.http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://model")
    with pytest.raises(Refused, match="answers 400") as refused:
        await upstream.found(call, 1)
    assert (refused.value.answered, b"input is too large" in refused.value.content) == (400, True)
    await upstream.aclose()
    store.close()
