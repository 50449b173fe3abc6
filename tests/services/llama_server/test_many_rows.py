"""Patches 0006 to 0008: with AMX, AVX-512 or AVX2, texts have the states that other kernels give them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import worst

AT_ONCE = ("--pooling", "none", "--batch-size", "1024", "--ubatch-size", "1024")
# Of other kernels the rounding differs: 0.9885 at least. A row, a column or a block of weights that is taken
# for another leaves nothing alike.
ALIKE = 0.975
# Tokens: one; rows left over of 4 and of 8, and none; the fewest that AMX multiplies as bfloat16 (48);
# rows left over of 16 and of 32, and none; more than are gone through at once (64, 128).
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 20, 48, 49, 63, 64, 81, 128, 129, 350)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        "avx2" not in Path("/proc/cpuinfo").read_text().split(),
        reason="this processor does not even have AVX2",
    ),
]


@pytest.fixture(scope="module")
def unpatched(stock_llama: Path, coder_model: ModelFile, logs: Path) -> Iterator[NativeLlama]:
    """The other kernels, on a model whose weights are q5_0, q8_0, q4_K and q6_K."""
    with serve(stock_llama, coder_model.path, logs / "unpatched.log", *AT_ONCE) as server:
        yield server


@pytest.mark.parametrize("threads", ["1", "3"])
def test_states_are_those_of_the_other_kernels(
    native_llama: Path, unpatched: NativeLlama, coder_model: ModelFile, tmp_path: Path, threads: str
) -> None:
    tokens = unpatched.tokens(" ".join(f"word {n}, of {n * n} letters;" for n in range(100)))
    flags = (*AT_ONCE, "--threads", threads, "--threads-batch", threads)
    with serve(native_llama, coder_model.path, tmp_path / "log", *flags) as server:
        for length in LENGTHS:
            rows = server.embed(tokens[:length])
            assert len(rows) == length
            assert worst(rows, unpatched.embed(tokens[:length])) > ALIKE, length
