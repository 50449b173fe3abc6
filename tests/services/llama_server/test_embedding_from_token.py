"""Patch 0003: states of the end of a text, its beginning from the cache, against the unpatched server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import cosine, worst

pytestmark = pytest.mark.integration

PROMPT = "Write a function that adds two numbers, and say what it does.\n" * 8  # > a batch of 128 tokens
ANSWERS = ["def add(a, b):\n    return a + b\n", "def add(x, y):\n    return sum((x, y))\n"]


def cached(server: NativeLlama) -> float:
    """Tokens of prompts that came from the cache, so far."""
    metrics = httpx.get(f"{server.url}/metrics").text
    (line,) = (row for row in metrics.splitlines() if row.startswith("llamacpp:prompt_tokens_cached_total "))
    return float(line.split()[1])


def test_props_say_so(patched: NativeLlama, stock: NativeLlama) -> None:
    assert patched.get("/props")["embedding_from_token"] is True
    assert "embedding_from_token" not in stock.get("/props")


def test_rows_from_a_token_on_are_those_of_the_whole_text(patched: NativeLlama, stock: NativeLlama) -> None:
    for answer in ANSWERS:  # the second finds the prompt in the cache
        tokens = patched.tokens(PROMPT + answer)
        start = len(patched.tokens(PROMPT)) - 1
        assert start > 100
        rows = stock.embed(tokens)[start:]
        assert worst(patched.embed(tokens, pooling="none", from_token=start), rows) > 0.995
        for pooling, expected in (("mean", rows.mean(axis=0)), ("last", rows[-1])):
            (raw,) = patched.embed(tokens, pooling=pooling, from_token=start, embd_normalize=-1)
            assert cosine(raw, expected) > 0.998


def test_the_beginning_comes_from_the_cache_of_a_completion_as_well(
    native_llama: Path, stock: NativeLlama, smol_model: ModelFile, tmp_path: Path
) -> None:
    with serve(native_llama, smol_model.path, tmp_path / "log", "--pooling", "mean", "--metrics") as server:
        start = len(server.tokens(PROMPT)) - 1
        server.complete({"prompt": PROMPT, "n_predict": 4, "temperature": 0})
        for answer in ANSWERS:
            before, tokens = cached(server), server.tokens(PROMPT + answer)
            ours = server.embed(tokens, pooling="none", from_token=start)
            assert worst(ours, stock.embed(tokens)[start:]) > 0.995
            assert cached(server) - before == start
        # A whole text is read whole, and a completion behind it finds what it needs.
        before = cached(server)
        assert len(server.embed(tokens, pooling="none")) == len(tokens)
        assert cached(server) == before
        server.complete({"prompt": PROMPT, "n_predict": 4, "temperature": 0})
        assert cached(server) > before


def test_the_last_token_alone_and_the_first(patched: NativeLlama, stock: NativeLlama) -> None:
    tokens = patched.tokens(ANSWERS[0])
    rows = stock.embed(tokens)
    assert worst(patched.embed(tokens, pooling="none", from_token=len(tokens) - 1), rows[-1:]) > 0.995
    assert worst(patched.embed(tokens, pooling="none", from_token=0), rows) > 0.995


@pytest.mark.parametrize("start", [-1, 10_000, 1.5, "3", None, [1]])
def test_no_place_in_the_text_is_refused(patched: NativeLlama, start: object) -> None:
    body = {"content": ANSWERS[0], "pooling": "none", "from_token": start}
    refused = httpx.post(f"{patched.url}/embedding", json=body)
    assert refused.status_code == 400
    assert "from_token" in refused.json()["error"]["message"]
