"""A sample pool before real llama-servers: it gives what they give, span embeddings and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.contracts import SamplingParams
from atlas.llama import CompletionRequest, LlamaClient
from atlas.models import ModelFile
from benchmark.native_llama import serve
from benchmark.recorded.completions import CompletionStore
from benchmark.recorded.model_app import Counts, frozen
from benchmark.recorded.model_file import read_model_facts
from benchmark.recorded.pool import COMPLETIONS, SamplePool
from benchmark.recorded.serving import served

pytestmark = pytest.mark.integration

DRAWN = SamplingParams(temperature=0.8, max_tokens=12, seed=3)
MESSAGES = [{"role": "user", "content": "Count: 1, 2, 3 é {{ x }}"}]


async def test_a_pool_and_what_is_left_of_it_give_what_the_server_gave(
    llama_url: str, tmp_path: Path
) -> None:
    direct = LlamaClient(llama_url)
    async with SamplePool(tmp_path, llama_url) as pool:
        client = LlamaClient(pool.url)
        request = CompletionRequest(prompt=await client.chat_prompt(MESSAGES), sampling=DRAWN, n=2)
        assert request.prompt == await direct.chat_prompt(MESSAGES)
        first, again = await client.complete(request), await client.complete(request)
        assert first.choices == again.choices
        assert first.server_s == again.server_s
        shorter = DRAWN.model_copy(update={"max_tokens": 5, "seed": 4})
        cut = (await client.complete(request.model_copy(update={"sampling": shorter, "n": 1}))).choices[0]
        assert first.choices[1].text.startswith(cut.text)
        assert cut.usage.tokens_out == 5
        assert pool.drawn == 2
        await client.aclose()
    facts, store = read_model_facts(tmp_path), CompletionStore(tmp_path / COMPLETIONS)
    assert facts is not None
    async with served(frozen(store, facts, Counts())) as url:
        client = LlamaClient(url)
        assert await client.chat_prompt(MESSAGES) == request.prompt
        assert (await client.complete(request)).choices == first.choices
        await client.aclose()
    tokens = await direct._json(
        "POST", "/tokenize", {"content": request.prompt, "add_special": True, "parse_special": True}
    )
    assert len(tokens["tokens"]) == store.tokens_in(request.prompt) == first.choices[0].usage.tokens_in
    store.close()
    await direct.aclose()


async def test_span_embeddings_are_drawn_for_whoever_may_want_them(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    plain = CompletionRequest(prompt="1, 2, 3,", sampling=DRAWN)
    with serve(native_llama, smol_model.path, tmp_path / "log") as native:
        async with SamplePool(tmp_path / "pool", native.url) as pool:
            client = LlamaClient(pool.url)
            (first,) = (await client.complete(plain)).choices
            assert first.span is None
            (spanned,) = (await client.complete(plain.model_copy(update={"embedding": True}))).choices
            assert pool.drawn == 1
            await client.aclose()
    assert spanned.span is not None
    assert spanned.span.n_tokens == first.usage.tokens_out
    assert spanned.model_copy(update={"span": None}) == first
