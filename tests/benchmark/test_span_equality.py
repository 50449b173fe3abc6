"""Decoding of span embeddings, and the benchmark of the patched llama-server in small."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import InfrastructureError
from atlas.models import ModelFile
from benchmark import llama_server
from benchmark.native_llama import serve
from benchmark.span_equality import DTYPES, Span, cosine

values = st.floats(-1000, 1000, width=16)


def encoded(vector: list[float], encoding: str) -> str:
    return base64.b64encode(np.asarray(vector, DTYPES[encoding]).tobytes()).decode()


@given(st.sampled_from(sorted(DTYPES)), st.lists(values, min_size=1, max_size=8))
def test_vectors_come_back_as_they_were_sent(encoding: str, vector: list[float]) -> None:
    text = encoded(vector, encoding)
    fields = {"n_tokens": 3, "n_embd": len(vector), "encoding": encoding, "mean": text, "last": text}
    span = Span.of(fields)
    assert (span.n_tokens, span.prompt_last) == (3, None)
    np.testing.assert_array_equal(span.mean, vector)


def test_a_vector_of_another_length_is_refused() -> None:
    text = encoded([1.0, 2.0], "float32")
    fields = {"n_tokens": 1, "n_embd": 2, "encoding": "float16", "mean": text, "last": text}
    with pytest.raises(InfrastructureError, match="mean holds"):
        Span.of(fields)


def test_cosine_is_of_direction_only() -> None:
    assert cosine(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == pytest.approx(1)
    assert cosine(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 0


@pytest.mark.integration
def test_costs_are_measured_on_real_servers(
    native_llama: Path,
    stock_llama: Path,
    smol_model: ModelFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(llama_server, "GENERATED_TOKENS", 24)
    monkeypatch.setattr(llama_server, "CANDIDATE_TOKENS", 8)
    flags = ("--pooling", "mean")
    with (
        serve(native_llama, smol_model.path, tmp_path / "a", *flags, one_core=True) as ours,
        serve(stock_llama, smol_model.path, tmp_path / "b", *flags) as theirs,
    ):
        (ratio,) = llama_server.generation_cost(ours, "Once upon a time", 1)
        (added,), (again,) = llama_server.scoring_cost(ours, theirs, "Once upon a time " * 20, 1)
    assert ratio > 0
    assert again > 0
    assert added != again


@pytest.mark.parametrize("arguments", [["--pairs", "0"], ["--prompts", "none"]])
def test_arguments_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        llama_server.main(arguments)
    assert stopped.value.code == 2
