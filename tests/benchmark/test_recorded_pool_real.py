"""A sample pool before real llama-servers: it gives what they give, span embeddings and all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from atlas.contracts import SamplingParams
from atlas.events import Choice
from atlas.llama import CompletionRequest, LlamaClient
from atlas.models import ModelFile
from benchmark.native_llama import serve
from benchmark.recorded.completions import Call, CompletionStore, Recorded
from benchmark.recorded.model_app import Counts, frozen
from benchmark.recorded.model_file import read_model_facts
from benchmark.recorded.pool import COMPLETIONS, SamplePool
from benchmark.recorded.read_spans import read_span
from benchmark.recorded.serving import served
from benchmark.span_equality import cosine

pytestmark = pytest.mark.integration

DRAWN = SamplingParams(temperature=0.8, max_tokens=12, seed=3)
MESSAGES = [{"role": "user", "content": "Count: 1, 2, 3 é {{ x }}"}]


async def test_a_pool_and_what_is_left_of_it_give_what_the_server_gave(
    llama_url: str, tmp_path: Path
) -> None:
    async with (
        client_of(llama_url) as direct,
        SamplePool(tmp_path, llama_url) as pool,
        client_of(pool.url) as client,
    ):
        request = CompletionRequest(prompt=await client.chat_prompt(MESSAGES), sampling=DRAWN, n=2)
        assert request.prompt == await direct.chat_prompt(MESSAGES)
        first, again = await client.complete(request), await client.complete(request)
        assert first.choices == again.choices
        assert again.server_s == pytest.approx(first.server_s, abs=1e-9)  # kept in s, told in ms
        shorter = DRAWN.model_copy(update={"max_tokens": 5, "seed": 4})
        cut = (await client.complete(request.model_copy(update={"sampling": shorter, "n": 1}))).choices[0]
        assert first.choices[1].text.startswith(cut.text)
        assert cut.usage.tokens_out == 5
        assert pool.drawn == 2
        whole = {"content": request.prompt, "add_special": True, "parse_special": True}
        tokens = (await direct._json("POST", "/tokenize", whole))["tokens"]
    facts, store = read_model_facts(tmp_path), CompletionStore(tmp_path / COMPLETIONS)
    assert facts is not None
    async with served(frozen(store, facts, Counts())) as url, client_of(url) as client:
        assert await client.chat_prompt(MESSAGES) == request.prompt
        assert (await client.complete(request)).choices == first.choices
    assert len(tokens) == store.tokens_in(request.prompt) == first.choices[0].usage.tokens_in
    store.close()


async def test_span_embeddings_are_drawn_for_whoever_may_want_them(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    plain = CompletionRequest(prompt="1, 2, 3,", sampling=DRAWN)
    with serve(native_llama, smol_model.path, tmp_path / "log") as native:
        async with SamplePool(tmp_path / "pool", native.url) as pool, client_of(pool.url) as client:
            (first,) = (await client.complete(plain)).choices
            assert first.span is None
            (spanned,) = (await client.complete(plain.model_copy(update={"embedding": True}))).choices
            assert pool.drawn == 1
    assert spanned.span is not None
    assert spanned.span.n_tokens == first.usage.tokens_out
    assert spanned.model_copy(update={"span": None}) == first


@pytest.mark.parametrize("without_asking", [False, True])
async def test_spans_that_were_not_recorded_are_read_once_and_are_those_of_drawing(
    without_asking: bool, native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    asked = CompletionRequest(prompt="1, 2, 3,", sampling=DRAWN, n=3, embedding=True)
    with serve(native_llama, smol_model.path, tmp_path / "log") as native:
        async with client_of(native.url) as client:
            drawn = (await client.complete(asked)).choices
        unpack_without_spans(tmp_path / "pool", asked, native.url, drawn)
        for _ in range(2):
            async with (
                SamplePool(tmp_path / "pool", native.url, read_spans=without_asking) as pool,
                client_of(pool.url) as client,
            ):
                if without_asking:  # then they are read whatever the call wants
                    await client.complete(asked.model_copy(update={"embedding": False}))
                    pool.counts.recorded = 0
                read = (await client.complete(asked)).choices
                counts = pool.drawn, pool.recorded, pool.spans_read
            assert counts in ((0, 3, 3), (0, 3, 0))
        assert counts == (0, 3, 0), "what was read once is there"
    for ours, theirs in zip(read, drawn, strict=True):
        assert ours.model_copy(update={"span": None}) == theirs.model_copy(update={"span": None})
        assert ours.span is not None
        assert theirs.span is not None
        assert ours.span.n_tokens == theirs.span.n_tokens == ours.usage.tokens_out
        for which in ("mean", "last", "prompt_last"):
            assert cosine(ours.span.vector(which), theirs.span.vector(which)) > 0.998


async def test_answers_of_unknown_tokens_and_servers_without_our_patches_give_none(
    llama_url: str, native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    asked = CompletionRequest(prompt="1, 2, 3,", sampling=DRAWN)
    async with client_of(llama_url) as client:
        stranger = await client.complete(asked)
    bare = Recorded(choice=stranger.choices[0].model_copy(update={"stopped_by": ","}), asked=12, stop=())
    with serve(native_llama, smol_model.path, tmp_path / "log") as native:
        async with httpx.AsyncClient(base_url=native.url) as http:
            assert await read_span(http, "1, 2, 3,", bare) is None, "a stop string cut it"
            tokens = bare.choice.usage.model_copy(update={"tokens_out": 99})
            other = bare.choice.model_copy(update={"stopped_by": None, "usage": tokens})
            assert await read_span(http, "1, 2, 3,", bare.model_copy(update={"choice": other})) is None
    unpack_without_spans(tmp_path / "pool", asked, llama_url, stranger.choices)
    async with (
        SamplePool(tmp_path / "pool", llama_url, read_spans=True) as pool,
        client_of(pool.url) as client,
    ):
        assert (await client.complete(asked)).choices == stranger.choices
        assert (pool.recorded, pool.spans_read) == (1, 0), "a server without our patches"


def client_of(url: str) -> aclosing[LlamaClient]:
    return aclosing(LlamaClient(url))


def unpack_without_spans(
    directory: Path, asked: CompletionRequest, url: str, drawn: Sequence[Choice]
) -> None:
    """Keep choices as a packed pool brings them."""
    directory.mkdir()
    store = CompletionStore(directory / COMPLETIONS)
    model = httpx.get(f"{url}/props").json()["model_alias"]
    call = Call(model=model, prompt=asked.prompt, sampling=asked.sampling, n=len(drawn), embedding=False)
    for seed, choice in zip(call.seeds, drawn, strict=True):
        store.add(call, {seed: Recorded(choice=choice, asked=12, stop=()).without_span()})
    store.close()
