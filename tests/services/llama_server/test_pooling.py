"""Patch 0001: pooling per request and texts longer than a batch, against the unpatched server."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import cosine, worst

pytestmark = pytest.mark.integration

SHORT = "def add(a, b):\n    return a + b\n"
LONG = "\n".join(f"def f{i}(x):\n    return x + {i}" for i in range(36))  # several batches of 128 tokens


def test_props_say_what_each_request_may_choose(patched: NativeLlama, stock: NativeLlama) -> None:
    assert patched.get("/props")["pooling_per_request"] == ["none", "mean", "last"]
    assert "pooling_per_request" not in stock.get("/props")


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_every_pooling_is_that_of_the_unpatched_servers_rows(
    patched: NativeLlama, stock: NativeLlama, text: str
) -> None:
    rows = stock.embed(text)
    assert (len(rows) > 256) == (text is LONG)
    ours = patched.embed(text, pooling="none")
    assert ours.shape == rows.shape
    assert worst(ours, rows) > 0.995
    for pooling, expected in (("mean", rows.mean(axis=0)), ("last", rows[-1])):
        (raw,) = patched.embed(text, pooling=pooling, embd_normalize=-1)
        (normal,) = patched.embed(text, pooling=pooling)
        assert cosine(raw, expected) > 0.998
        assert np.linalg.norm(raw) == pytest.approx(np.linalg.norm(expected), rel=0.02)
        assert np.linalg.norm(normal) == pytest.approx(1)
        assert cosine(normal, raw) == pytest.approx(1)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooling_here_is_the_contexts_pooling_of_the_unpatched_server(
    patched: NativeLlama, stock_llama: Path, smol_model: ModelFile, tmp_path: Path, pooling: str
) -> None:
    flags = ("--pooling", pooling, "--batch-size", "128", "--ubatch-size", "128")
    with serve(stock_llama, smol_model.path, tmp_path / "log", *flags) as pools_in_context:
        (theirs,) = pools_in_context.embed(SHORT)
    (ours,) = patched.embed(SHORT, pooling=pooling)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_the_default_is_the_flag_of_the_server(patched: NativeLlama) -> None:
    np.testing.assert_array_equal(patched.embed(SHORT), patched.embed(SHORT, pooling="mean"))


def test_the_openai_route_pools_per_request_too_but_has_no_rows(patched: NativeLlama) -> None:
    answer = patched.post("/v1/embeddings", {"input": SHORT, "pooling": "last"})
    (expected,) = patched.embed(SHORT, pooling="last")
    np.testing.assert_allclose(answer["data"][0]["embedding"], expected, rtol=1e-5)
    refused = httpx.post(f"{patched.url}/v1/embeddings", json={"input": SHORT, "pooling": "none"})
    assert (refused.status_code, "not OAI compatible" in refused.text) == (400, True)


@pytest.mark.parametrize("pooling", ["cls", "MEAN", 1, None, ["mean"]])
def test_an_unknown_pooling_is_refused_with_the_names_there_are(
    patched: NativeLlama, pooling: object
) -> None:
    refused = httpx.post(f"{patched.url}/embedding", json={"content": SHORT, "pooling": pooling})
    assert refused.status_code == 400
    assert '"none", "mean" and "last"' in refused.json()["error"]["message"]


def test_a_text_longer_than_the_slot_is_refused_whatever_the_pooling(patched: NativeLlama) -> None:
    refused = httpx.post(f"{patched.url}/embedding", json={"content": LONG * 10, "pooling": "mean"})
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "exceed_context_size_error"


def test_a_server_that_pools_in_its_context_says_how_to_start_it(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    with serve(native_llama, smol_model.path, tmp_path / "log", "--pooling", "cls") as server:
        props = server.get("/props")
        refused = httpx.post(f"{server.url}/embedding", json={"content": SHORT, "pooling": "mean"})
        span = httpx.post(f"{server.url}/completion", json={"prompt": SHORT, "return_embedding": True})
    assert "pooling_per_request" not in props
    assert "span_embedding" not in props
    assert (refused.status_code, "--pooling none" in refused.text) == (501, True)
    assert (span.status_code, "--pooling none" in span.text) == (400, True)
