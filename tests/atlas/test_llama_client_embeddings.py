"""Vectors of the model's states: what they hold, and how LlamaClient gets them from either kind of server."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scripted_llama import Scripted, answering, last, part, props, scripted_client, scripted_server, streaming

from atlas.contracts import SamplingParams, Usage
from atlas.errors import ModelServerError
from atlas.llama import CompletionRequest, LlamaClient
from atlas.span_embedding import FLOAT16_MAX, SpanEmbedding, TextEmbedding

server = pytest.fixture(scripted_server)
client = pytest.fixture(scripted_client)

SAMPLING = SamplingParams(temperature=0, max_tokens=16, seed=3)
REQUEST = CompletionRequest(prompt="Once", sampling=SAMPLING, embedding=True)
PATCHED = props(
    span_embedding={"version": 1, "n_embd": 3, "encodings": ["float16", "float32"]},
    pooling_per_request=["none", "mean", "last"],
)


def vector(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f2").tobytes()).decode()


def span(**changed: Any) -> dict[str, Any]:
    vectors = {"mean": vector(1, 2, 3), "last": vector(4, 5, 6), "prompt_last": vector(7, 8, -0.5)}
    return {"n_tokens": 2, "n_embd": 3, "encoding": "float16", **vectors, **changed}


# ---------------------------------------------------------------- span embeddings


async def test_a_patched_server_brings_a_span_with_each_choice(server: Scripted, client: LlamaClient) -> None:
    server.facts = PATCHED
    chunks = [part("a", 1), last(1) | {"span_embedding": span(n_tokens=1)}]
    chunks += [part("b", 1, index=1), last(1, index=1) | {"span_embedding": span(mean=vector(9, 9, 9))}]
    server.script = streaming(*chunks)
    result = await client.complete(REQUEST.model_copy(update={"n": 2}))
    first, second = (choice.span for choice in result.choices)
    assert first
    assert (first.version, first.n_tokens, first.n_embd) == (1, 1, 3)
    assert first.vector("mean").tolist() == [1, 2, 3]
    assert first.vector("last").tolist() == [4, 5, 6]
    assert first.vector("prompt_last").tolist() == [7, 8, -0.5]
    assert second
    assert second.vector("mean").tolist() == [9, 9, 9]
    body = server.requests[0]
    assert (body["return_embedding"], body["return_prompt_embedding"]) == (True, True)
    assert body["embedding_encoding"] == "float16"


@pytest.mark.parametrize(
    "facts",
    [props(), props(span_embedding={"version": 2, "n_embd": 3})],
    ids=["not patched", "of a convention to come"],
)
async def test_a_server_without_spans_is_not_asked_for_any(
    server: Scripted, client: LlamaClient, facts: dict[str, Any]
) -> None:
    server.facts = facts
    (choice,) = (await client.complete(REQUEST)).choices
    assert choice.span is None
    assert "return_embedding" not in server.requests[0]


async def test_none_is_asked_for_unless_wanted(server: Scripted, client: LlamaClient) -> None:
    server.facts = PATCHED
    await client.complete(REQUEST.model_copy(update={"embedding": False}))
    assert "return_embedding" not in server.requests[0]


async def test_no_token_has_no_span(server: Scripted, client: LlamaClient) -> None:
    server.facts = PATCHED
    empty = {"n_tokens": 0, "n_embd": 0, "encoding": "float16"}
    server.script = streaming(last(0) | {"span_embedding": empty})
    assert (await client.complete(REQUEST)).choices[0].span is None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        span(mean=vector(1, 2)),
        span(last=vector(1, 2, 3, 4)),
        span(prompt_last="not base64!"),
        span(n_embd=4),
        span(n_embd=2, mean=vector(1, 2), last=vector(1, 2), prompt_last=vector(1, 2)),
        span(encoding="float32"),
        {k: v for k, v in span().items() if k != "prompt_last"},
    ],
    ids=[
        "none",
        "empty",
        "short",
        "long",
        "no base64",
        "other length",
        "other model",
        "other encoding",
        "part",
    ],
)
async def test_a_span_that_is_not_as_promised_is_refused(
    server: Scripted, client: LlamaClient, answer: object
) -> None:
    server.facts = PATCHED
    server.script = streaming(part("a", 1), last(1) | {"span_embedding": answer})
    with pytest.raises(ModelServerError, match="no llama-server would") as raised:
        await client.complete(REQUEST)
    assert not raised.value.retryable


# ---------------------------------------------------------------- /embedding


async def test_embed_asks_for_a_pooling_where_it_can(server: Scripted, client: LlamaClient) -> None:
    server.facts = PATCHED
    server.script = answering(200, [{"index": 0, "embedding": [[0.25, -2.0, 1e6]]}])
    got = await client.embed("text", "last")
    assert (got.kind, got.pooling) == ("reprefill", "last")
    assert got.vector().tolist() == [0.25, -2.0, FLOAT16_MAX]
    assert server.requests == [{"content": "text", "embd_normalize": -1, "pooling": "last"}]


async def test_a_server_that_pools_as_it_was_started_cannot_be_told(
    server: Scripted, client: LlamaClient
) -> None:
    server.script = answering(200, [{"index": 0, "embedding": [[0.25, -2.0]]}])
    with pytest.raises(ModelServerError, match="pools as it was started to") as raised:
        await client.embed("text", "mean")
    assert not raised.value.retryable
    assert (await client.embed("text")).pooling == "server"
    assert server.requests == [{"content": "text", "embd_normalize": -1}]


@pytest.mark.parametrize("rows", [[[1.0], [2.0]], [], [[None]], [[]], ["x"], None])
async def test_rows_that_are_not_one_vector_are_refused(
    server: Scripted, client: LlamaClient, rows: object
) -> None:
    server.script = answering(200, [{"index": 0, "embedding": rows}])
    with pytest.raises(ModelServerError, match="no llama-server would"):
        await client.embed("text")


async def test_the_servers_reason_why_it_cannot_embed_is_told(server: Scripted, client: LlamaClient) -> None:
    reason = "This server does not support embeddings. Start it with `--embeddings`"
    server.script = answering(501, {"error": {"code": 501, "message": reason}})
    with pytest.raises(ModelServerError, match="Start it with `--embeddings`") as raised:
        await client.embed("text")
    assert not raised.value.retryable


# ---------------------------------------------------------------- the vectors themselves


@given(st.lists(st.floats(-60000, 60000, width=16), min_size=1, max_size=40))
def test_what_float16_can_hold_comes_back(values: list[float]) -> None:
    embedding = TextEmbedding.of(values, "mean")
    assert embedding.vector().tolist() == values
    assert TextEmbedding.model_validate_json(embedding.model_dump_json()) == embedding


def test_the_two_kinds_are_never_taken_for_each_other() -> None:
    one = TextEmbedding.of([1.0, 2.0], "mean").model_dump()
    other = SpanEmbedding(n_tokens=1, n_embd=1, mean=vector(1), last=vector(1), prompt_last=vector(1))
    with pytest.raises(ValidationError):
        SpanEmbedding.model_validate(one)
    with pytest.raises(ValidationError):
        TextEmbedding.model_validate(other.model_dump())
    with pytest.raises(ValidationError):
        SpanEmbedding.model_validate(other.model_dump() | {"version": 2})


# ---------------------------------------------------------------- drafts


async def test_drafted_and_accepted_tokens_are_counted(server: Scripted, client: LlamaClient) -> None:
    end = last(7)
    end["timings"] |= {"draft_n": 9, "draft_n_accepted": 5}
    server.script = streaming(part("a", 7), end)
    usage = (await client.complete(REQUEST)).choices[0].usage
    assert (usage.tokens_drafted, usage.tokens_accepted) == (9, 5)
    total = usage + usage
    assert total == Usage(
        tokens_in=70, tokens_out=14, tokens_cached=60, tokens_drafted=18, tokens_accepted=10
    )
