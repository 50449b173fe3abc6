"""Patch 0004: a text's states do not depend on what the other slots read and generate meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import worst

pytestmark = pytest.mark.integration

SLOTS = 6
# A batch of others changes how a text's rows are rounded: the unpatched server's own least cosine is 0.9927,
# in the shortest text. A cell too few makes it 0.84 at best.
ALIKE = 0.985
# From as few rows as go through a tile to more than four tiles.
TEXTS = [
    f"Number {n} of the list of words that are counted: " + " ".join(f"word{n}-{i}" for i in range(length))
    for n, length in enumerate((1, 3, 8, 20, 33, 60))
]


@contextmanager
def busy(server: NativeLlama, slots: int) -> Iterator[None]:
    """While the block runs, so many slots generate, each from a prompt of its own."""
    done = threading.Event()

    def generate(number: int) -> int:
        rounds = 0
        while not done.is_set():
            prompt = f"{number}.{rounds}: one, two, three, " * (2 + 5 * number)
            server.complete({"prompt": prompt, "n_predict": 12, "temperature": 0, "ignore_eos": True})
            rounds += 1
        return rounds

    with ThreadPoolExecutor(slots) as clients:
        at_it = [clients.submit(generate, number) for number in range(slots)]
        try:
            yield
        finally:
            done.set()
        assert all(each.result() for each in at_it)


@pytest.mark.parametrize(("kv_type", "threads"), [("f16", "1"), ("f16", "3"), ("q8_0", "2")])
def test_states_are_those_of_a_text_that_is_read_alone(
    native_llama: Path, stock: NativeLlama, smol_model: ModelFile, tmp_path: Path, threads: str, kv_type: str
) -> None:
    flags = ("--pooling", "none", "--kv-unified", "--batch-size", "512", "--ubatch-size", "512")
    flags += ("--flash-attn", "on", "--cache-type-k", kv_type, "--cache-type-v", kv_type)
    flags += ("--threads", threads, "--threads-batch", threads)
    alone = {text: stock.embed(text) for text in TEXTS}
    assert min(map(len, alone.values())) <= 16
    assert max(map(len, alone.values())) > 128
    with (
        serve(native_llama, smol_model.path, tmp_path / "log", *flags, slots=SLOTS) as server,
        busy(server, SLOTS // 2),
        ThreadPoolExecutor(SLOTS // 2) as clients,
    ):
        for text, rows in zip(TEXTS * 3, clients.map(server.embed, TEXTS * 3), strict=True):
            assert worst(rows, alone[text]) > ALIKE, text[:20]
