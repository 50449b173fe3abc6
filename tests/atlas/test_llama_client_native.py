"""LlamaClient against the patched native server: span embeddings, and what it is told of drafts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from atlas.contracts import SamplingParams
from atlas.errors import ModelServerError
from atlas.llama import CompletionRequest, LlamaClient
from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve
from tests.support.slots import slots_become_busy

pytestmark = pytest.mark.integration

GREEDY = SamplingParams(temperature=0, max_tokens=24, seed=1, top_k=1, min_p=0)
PROMPT = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,"


@pytest.fixture(scope="module")
def native(
    native_llama: Path, smol_model: ModelFile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NativeLlama]:
    """Small batches, and drafts: the model as its own."""
    log = tmp_path_factory.mktemp("native") / "log"
    flags = ["--pooling", "mean", "--batch-size", "64", "--ubatch-size", "64", "--kv-unified"]
    drafts = ["--spec-type", "draft-simple", "--spec-draft-n-max", "4", "--model-draft", str(smol_model.path)]
    with serve(native_llama, smol_model.path, log, *flags, *drafts) as server:
        yield server


@pytest.fixture
async def client(native: NativeLlama) -> AsyncIterator[LlamaClient]:
    client = LlamaClient(native.url)
    yield client
    await client.aclose()


async def test_native_facts_are_the_servers(client: LlamaClient) -> None:
    facts = await client.facts()
    assert (facts.context_tokens, facts.slots, facts.span_n_embd, facts.pools) == (8192, 4, 576, True)


async def test_native_spans_are_those_the_server_sends(client: LlamaClient, native: NativeLlama) -> None:
    request = CompletionRequest(prompt=PROMPT, sampling=GREEDY, embedding=True)
    (choice,) = (await client.complete(request)).choices
    body = {"prompt": PROMPT, "n_predict": 24, "temperature": 0, "top_k": 1, "min_p": 0, "seed": 1}
    asked = {"return_embedding": True, "return_prompt_embedding": True, "embedding_encoding": "float32"}
    (raw,) = native.complete(body | asked)
    assert choice.text == raw["content"]
    span = choice.span
    assert span
    assert span.n_tokens == raw["span_embedding"]["n_tokens"] == choice.usage.tokens_out
    for which in ("mean", "last", "prompt_last"):
        exact = np.frombuffer(base64.b64decode(raw["span_embedding"][which]), dtype="<f4")
        # Two evaluations of the same tokens, one of them over a cached prompt, and float16's rounding.
        np.testing.assert_allclose(span.vector(which), exact, atol=0.02 * np.abs(exact).max())


async def test_native_each_of_several_choices_has_its_own_span(client: LlamaClient) -> None:
    sampling = SamplingParams(temperature=1.0, max_tokens=12, seed=5)
    request = CompletionRequest(prompt="Once upon a time", sampling=sampling, n=3, embedding=True)
    choices = (await client.complete(request)).choices
    spans = [choice.span for choice in choices]
    assert all(spans)
    means = {span.mean for span in spans if span}
    assert len(means) == len({choice.text for choice in choices}) > 1
    firsts = [span.vector("prompt_last") for span in spans if span]
    for first in firsts[1:]:  # one prompt, evaluated once
        np.testing.assert_allclose(first, firsts[0], atol=0.02 * np.abs(firsts[0]).max())


async def test_native_drafts_are_counted(client: LlamaClient) -> None:
    (choice,) = (await client.complete(CompletionRequest(prompt=PROMPT, sampling=GREEDY))).choices
    assert 0 < choice.usage.tokens_accepted <= choice.usage.tokens_drafted
    assert choice.usage.tokens_accepted < choice.usage.tokens_out
    assert choice.span is None


async def test_native_embed_pools_as_it_is_told(client: LlamaClient, native: NativeLlama) -> None:
    rows = native.embed(PROMPT, pooling="none")
    for pooling, expected in (("mean", rows.mean(axis=0)), ("last", rows[-1])):
        got = await client.embed(PROMPT, pooling)  # type: ignore[arg-type]
        assert got.pooling == pooling
        np.testing.assert_allclose(got.vector(), expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 3])
async def test_native_a_call_cancelled_while_its_prompt_is_read_frees_its_slots(
    client: LlamaClient, native: NativeLlama, n: int
) -> None:
    """The server looks once a second, between batches of 64 tokens: most of this prompt is never read."""
    prompt = f"{n}: " + "The sea is cold and the wind is blue today. " * 700
    length = len(native.tokens(prompt))
    request = CompletionRequest(prompt=prompt, sampling=GREEDY.model_copy(update={"max_tokens": 4}), n=n)
    drawing = asyncio.create_task(client.complete(request))
    async with httpx.AsyncClient(base_url=native.url) as http:
        assert await slots_become_busy(http, n, 20)
        drawing.cancel()
        assert await slots_become_busy(http, 0, 60)
        slots = (await http.get("/slots")).json()
    assert 0 < max(slot.get("n_prompt_tokens", 0) for slot in slots) < length / 2
    with pytest.raises(asyncio.CancelledError):
        await drawing


@pytest.mark.parametrize("n", [1, 4])
async def test_native_completions_fill_the_context_and_no_more(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path, n: int
) -> None:
    """Asked for more, the server itself breaks several completions off in the middle: none is had."""
    with serve(
        native_llama, smol_model.path, tmp_path / "log", "--ctx-size", "320", "--kv-unified"
    ) as server:
        client = LlamaClient(server.url)
        long = "Once upon a time there was a king, and his story is a long one. " * 2
        context = (await client.facts()).context_tokens
        cut = []
        for seed in range(8):  # some stories are over sooner
            sampling = SamplingParams(temperature=0.8, max_tokens=1000, seed=seed)
            request = CompletionRequest(prompt=long, sampling=sampling, n=n)
            choices = (await client.complete(request)).choices
            tokens_in = choices[0].usage.tokens_in
            assert tokens_in + sum(choice.usage.tokens_out for choice in choices) <= context
            cut += [choice.usage.tokens_out for choice in choices if choice.finish == "length"]
        assert set(cut) == {(context - tokens_in) // n}
        await client.aclose()


async def test_native_a_server_without_embeddings_says_how_to_have_them(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    with serve(native_llama, smol_model.path, tmp_path / "log", embeddings=False) as server:
        client = LlamaClient(server.url)
        with pytest.raises(ModelServerError, match="--embeddings") as raised:
            await client.embed("x")
        assert not raised.value.retryable
        await client.aclose()
