"""What the planner counts is what a real llama-server allocates, as its log tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from atlas.memory_plan import Load, cache_bytes, compute_bytes
from atlas.model_size import ModelSize, read_size
from atlas.models import ModelFile
from benchmark.native_llama import serve

MIB = 1 << 20
pytestmark = pytest.mark.integration


def allocated(
    binary: Path, model: Path, log: Path, load: Load, *flags: str, embeds: bool
) -> list[list[float]]:
    """Start a server; return the MiB of its caches, and of its compute buffers, in the order of its log."""
    for side in ("k", "v"):
        flags += (f"--cache-type-{side}", load.kv_type, f"--spec-draft-type-{side}", load.kv_type)
    flags += ("--batch-size", str(load.batch), "--ubatch-size", str(load.batch), "--kv-unified")
    flags += ("--ctx-size", str(load.context), "--verbosity", "4", "--no-warmup")
    with serve(binary, model, log, *flags, slots=load.slots, embeddings=embeds):
        text = log.read_text(errors="replace")
    kinds = ("KV", "compute")
    return [
        [float(mib) for mib in re.findall(rf"{kind} buffer size = +([\d.]+) MiB", text)] for kind in kinds
    ]


def compare(
    size: ModelSize, load: Load, outputs: int, cache: float, compute: float, slack: float = 1.02
) -> None:
    assert cache_bytes(size, load) / MIB == pytest.approx(cache, abs=0.02)
    counted = compute_bytes(size, load, outputs) / MIB
    assert compute * 0.98 <= counted <= compute * (slack if load.kv_type == "f16" else 1.08)


def at_hand(smol: Path) -> list[Path]:
    """SmolLM2, and whatever else has been pulled beside it."""
    others = (path for path in smol.parent.glob("*.gguf") if path != smol and path.stat().st_size < 2e9)
    return [smol, *sorted(others)]


@pytest.mark.parametrize(
    "load", [Load(8192, 4, "f16", 512), Load(16_384, 2, "q8_0", 512), Load(4096, 1, "q4_0", 1024)], ids=str
)
def test_generation(stock_llama: Path, smol_model: ModelFile, load: Load, tmp_path: Path) -> None:
    for path in at_hand(smol_model.path):
        caches, buffers = allocated(stock_llama, path, tmp_path / path.stem, load, embeds=False)
        compare(read_size(path), load, load.slots, sum(caches), sum(buffers))


def test_with_embeddings_every_token_is_an_output(
    stock_llama: Path, native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    load, mean = Load(4096, 4, "f16", 512), ("--pooling", "mean")
    for path in at_hand(smol_model.path):
        size, log = read_size(path), tmp_path / path.stem
        caches, buffers = allocated(stock_llama, path, log, load, *mean, embeds=True)
        compare(size, load, load.batch, sum(caches), sum(buffers))
        caches, buffers = allocated(native_llama, path, log, load, *mean, embeds=True)
        # Ours pools after the batch: by then the mask is gone.
        compare(size, load, load.batch, sum(caches), sum(buffers), slack=1.08)


def test_a_draft_model_has_a_cache_and_buffers_of_its_own(
    native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    load, smol = Load(4096, 4, "q8_0", 512), smol_model.path
    drafting = ("--spec-draft-model", str(smol), "--spec-type", "draft-simple")
    found = allocated(native_llama, smol, tmp_path / "log", load, *drafting, embeds=True)
    for outputs, cache, buffer in zip((load.batch, load.slots), *found, strict=True):
        compare(read_size(smol), load, outputs, cache, buffer)
