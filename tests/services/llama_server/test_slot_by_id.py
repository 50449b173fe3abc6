"""Patch 0005: asking for a slot by number disturbs nobody, and finds the prompt that was put aside."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve

pytestmark = pytest.mark.integration

TIDE = "The tide comes in and the tide goes out. " * 8
COUNT = "one two three four five six seven eight nine ten " * 8


@pytest.fixture
def server(native_llama: Path, smol_model: ModelFile, tmp_path: Path) -> Iterator[NativeLlama]:
    """Two slots that share a cache, which are put aside whenever another request comes."""
    with serve(native_llama, smol_model.path, tmp_path / "log", "--kv-unified", slots=2) as server:
        yield server


def drawn(server: NativeLlama, prompt: str, tokens: int, slot: int = 0) -> dict[str, Any]:
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "id_slot": slot}
    (answer,) = server.complete(body)
    return answer


def is_busy(server: NativeLlama, slot: int) -> bool:
    slots: Any = server.get("/slots")
    return bool(slots[slot]["is_processing"])


def test_a_request_that_waits_for_a_busy_slot_leaves_what_that_one_generates(server: NativeLlama) -> None:
    for _ in range(2):  # the second time from the prompt that was put aside, as below: rounded alike
        alone = drawn(server, COUNT, 200)["content"]
        drawn(server, TIDE, 1)  # which puts what was counted aside
    with ThreadPoolExecutor(1) as other:
        counting = other.submit(drawn, server, COUNT, 200)  # and this the tide
        while not is_busy(server, 0):
            assert not counting.done()
        waited = [drawn(server, TIDE, 1)["content"] for _ in range(2)]
        assert counting.done(), "they had to wait for it"
    assert counting.result()["content"] == alone
    assert waited[0] == waited[1] == drawn(server, TIDE, 1)["content"]


def test_a_request_for_an_empty_slot_finds_its_prompt_among_those_put_aside(server: NativeLlama) -> None:
    drawn(server, TIDE, 1)
    drawn(server, COUNT, 1, slot=1)  # with one cache for all this empties slot 0
    again = drawn(server, TIDE + "The tide", 1)["timings"]
    assert again["prompt_n"] < 5 < again["cache_n"]
