"""What decides a model's memory is read right from any header, or said not to be known."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.embedded.gguf import read_contents
from atlas.errors import ModelFileError
from atlas.model_size import PUBLISHED, read_size

Value = int | str | list[int]
USUAL: dict[str, Value] = {
    "block_count": 6,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "context_length": 2048,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def encoded(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        return struct.pack(f"<IIQ{len(value)}I", 9, 4, len(value), *value)
    return struct.pack("<II", 4, value)


def gguf(path: Path, architecture: str, tensors: dict[str, int], **values: Value) -> Path:
    """Write a model of that architecture with tensors of so many bytes, in falling order of their offsets."""
    whole: dict[str, Value] = {"general.architecture": architecture, "general.alignment": 64}
    whole |= {key if "split" in key else f"{architecture}.{key}": value for key, value in values.items()}
    head = b"".join(text(key) + encoded(value) for key, value in whole.items())
    tokens = text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text("c")
    infos, offset = b"", sum(tensors.values())
    for name, size in tensors.items():
        offset -= size
        infos += text(name) + struct.pack("<IQQIQ", 2, 8, 8, 0, offset)
    counts = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(whole) + 1)
    content = counts + head + tokens + infos
    content += bytes(-len(content) % 64)
    path.write_bytes(content + bytes(sum(tensors.values())))
    return path


TENSORS = {"token_embd.weight": 640, "blk.0.attn_q.weight": 128, "output.weight": 320}


def test_a_plain_header(tmp_path: Path) -> None:
    size = read_size(gguf(tmp_path / "m.gguf", "qwen2", TENSORS, **USUAL))
    assert (size.layers, size.width, size.feed_forward, size.queries) == (6, 64, 96, 64)
    assert (size.vocabulary, size.context) == (3, 2048)
    assert (size.weights, size.token_table) == (1088, 640)
    assert (size.kv_layer, size.kv_full, size.kv_window) == (2 * 2 * 16, 6 * 2 * 2 * 16, 0)
    assert size.doubts == ()


def test_tensors_are_as_large_as_the_way_to_the_next(tmp_path: Path) -> None:
    assert read_contents(gguf(tmp_path / "m.gguf", "qwen2", TENSORS, **USUAL)).tensors == TENSORS


def test_embeddings_that_are_also_the_output_are_on_the_gpu(tmp_path: Path) -> None:
    tied = {"token_embd.weight": 640}
    assert read_size(gguf(tmp_path / "m.gguf", "qwen2", tied, **USUAL)).token_table == 0


def test_heads_of_their_own_width_and_number_in_each_layer(tmp_path: Path) -> None:
    heads: dict[str, Value] = {
        "attention.key_length": 32,
        "attention.value_length": 8,
        "attention.head_count_kv": [1, 2, 4] * 2,
    }
    size = read_size(gguf(tmp_path / "m.gguf", "openelm", {}, **{**USUAL, **heads}))
    assert size.kv_full == 14 * (32 + 8)
    assert size.kv_layer == 4 * (32 + 8)
    assert size.queries == 4 * 32


@pytest.mark.parametrize(
    ("architecture", "pattern", "windowed"),
    [("gemma3", {}, 5), ("gemma2", {}, 3), ("gemma3", {"attention.sliding_window_pattern": 3}, 4)],
)
def test_windows(architecture: str, pattern: dict[str, Value], windowed: int, tmp_path: Path) -> None:
    values = {**USUAL, "attention.sliding_window": 512, **pattern}
    size = read_size(gguf(tmp_path / "m.gguf", architecture, {}, **values))
    assert (size.window, size.doubts) == (512, ())
    assert (size.kv_window, size.kv_full) == (windowed * 64, (6 - windowed) * 64)


@pytest.mark.parametrize(
    ("architecture", "values", "doubt"),
    [
        ("cohere2", {"attention.sliding_window": 512}, "sliding windows are counted as the whole context"),
        ("qwen3next", {"ssm.state_size": 128}, "recurrent layers are counted as attention: an upper bound"),
        ("jamba", {"ssm.d": 1, "attention.head_count_kv": [2, 0, 0] * 2}, "recurrent layers"),
        ("deepseek2", {"attention.kv_lora_rank": 512}, "counted in full: an upper bound"),
        ("qwen3moe", {"expert_used_count": 8}, "mixture of experts"),
    ],
)
def test_what_is_not_known_is_counted_in_full_and_said(
    architecture: str, values: dict[str, Value], doubt: str, tmp_path: Path
) -> None:
    size = read_size(gguf(tmp_path / "m.gguf", architecture, {}, **{**USUAL, **values}))
    assert size.kv_full == 6 * 64
    assert doubt in " ".join(size.doubts)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split.count": 3}, "one of several parts"),
        ({"block_count": 0}, "does not describe a language model"),
        ({"attention.head_count": 0, "attention.head_count_kv": 0}, "names no attention heads"),
        ({"ssm.d": 1, "attention.head_count": 0, "attention.head_count_kv": 0}, "a recurrent model"),
    ],
)
def test_what_cannot_be_planned_is_refused(values: dict[str, Value], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=message):
        read_size(gguf(tmp_path / "m.gguf", "mamba", {}, **{**USUAL, **values}))


def test_a_file_cut_off_before_its_last_tensor_is_refused(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf", "qwen2", TENSORS, **USUAL)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ModelFileError, match="ends before its last tensor"):
        read_size(path)


def test_published_sizes_are_those_of_the_catalogue_files() -> None:
    left = {name: CATALOGUE[name].bytes - size.weights for name, size in PUBLISHED.items()}
    assert all(5_900_000 < rest < 6_000_000 for rest in left.values()), "the tokenizer's, the same in both"


@pytest.mark.integration
def test_a_real_file(smol_model: models.ModelFile) -> None:
    size = read_size(smol_model.path)
    assert (size.architecture, size.layers, size.kv_full) == ("llama", 30, 30 * 3 * 2 * 64)
    assert (size.vocabulary, size.context, size.token_table) == (49_152, 8192, 0)
    assert size.weights == 96_576_768
