"""What of a model decides how much memory it takes: from its GGUF header, or as its makers published it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atlas.embedded.gguf import read_contents
from atlas.errors import ModelSizeUnknown

# One layer in so many sees the whole context, the others a window. A header need not say it: llama.cpp knows
# it by architecture (src/models/*.cpp). Measured with gemma3; the other two are as read there.
WINDOW_PERIODS = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2}


@dataclass(frozen=True)
class ModelSize:
    """A model in numbers. Widths are elements per token.

    `weights` are the bytes of all tensors; `token_table` those that stay in the machine's memory when all
    layers are on a GPU: the token embeddings, unless they are the output layer too (llama.cpp, load_tensors).
    `kv_full` are keys and values of all layers that see the whole context, `kv_window` those of layers that
    see `window` tokens, `kv_layer` those of the widest layer. `doubts` say why its needs can only be bounded.
    """

    architecture: str
    layers: int
    width: int
    feed_forward: int
    queries: int
    vocabulary: int
    context: int
    weights: int
    token_table: int
    kv_full: int
    kv_layer: int
    kv_window: int = 0
    window: int = 0
    doubts: tuple[str, ...] = ()


# The two files nobody here has downloaded: the architecture from their published config.json
# (Qwen/Qwen3-14B, Qwen/Qwen3-0.6B), the bytes of each tensor from its shape and quantisation. Those sums are
# 6 MB below the pinned sizes of the files, in both, and 6 MB is what their common tokenizer takes.
PUBLISHED = {
    "qwen3-14b": ModelSize(
        "qwen3",
        layers=40,
        width=5120,
        feed_forward=17_408,
        queries=40 * 128,
        vocabulary=151_936,
        context=40_960,
        weights=8_995_793_920,
        token_table=437_575_680,
        kv_full=40 * 8 * 256,
        kv_layer=8 * 256,
    ),
    "qwen3-0.6b": ModelSize(
        "qwen3",
        layers=28,
        width=1024,
        feed_forward=3072,
        queries=16 * 128,
        vocabulary=151_936,
        context=40_960,
        weights=633_495_552,
        token_table=0,
        kv_full=28 * 8 * 256,
        kv_layer=8 * 256,
    ),
}


def read_size(path: Path) -> ModelSize:
    """Read it from a GGUF file's header.

    Raises:
        ModelSizeUnknown: it is one of several parts, or no model that keeps keys and values in all layers.
        ModelFileError: it cannot be read.
    """
    contents = read_contents(path)
    facts = _Facts(path, contents.values)
    if facts.number("split.count", architecture=False) > 1:
        raise ModelSizeUnknown(f"{path} is one of several parts: join them first (llama-gguf-split --merge)")
    kv, doubts = _kv_widths(facts)
    windowed, window, more = _windows(facts)
    experts = facts.number("expert_used_count")
    if experts:
        more += ("a mixture of experts, of which no compute buffer was measured",)
    tensors = contents.tensors
    tied = "output.weight" not in tensors
    return ModelSize(
        architecture=facts.architecture,
        layers=len(kv),
        width=facts.number("embedding_length"),
        feed_forward=max(
            facts.largest("feed_forward_length"), experts * facts.number("expert_feed_forward_length")
        ),
        queries=facts.largest("attention.head_count") * facts.head("key"),
        vocabulary=facts.number("tokenizer.ggml.tokens", architecture=False),
        context=facts.number("context_length"),
        weights=sum(tensors.values()),
        token_table=0 if tied else tensors.get("token_embd.weight", 0),
        kv_full=sum(width for width, short in zip(kv, windowed, strict=True) if not short),
        kv_layer=max(kv),
        kv_window=sum(width for width, short in zip(kv, windowed, strict=True) if short),
        window=window,
        doubts=doubts + more,
    )


class _Facts:
    """Typed access to the metadata: what is absent is 0."""

    def __init__(self, path: Path, values: Mapping[str, object]) -> None:
        self.architecture = str(values.get("general.architecture", ""))
        self._values = values
        self.layers = self.number("block_count")
        if not 0 < self.layers <= 10_000 or not self.number("embedding_length"):
            raise ModelSizeUnknown(f"{path}: its header does not describe a language model")
        self.path = path

    def value(self, key: str) -> object:
        return self._values.get(f"{self.architecture}.{key}")

    def number(self, key: str, *, architecture: bool = True) -> int:
        value = self.value(key) if architecture else self._values.get(key)
        return int(value) if isinstance(value, (int, float)) else 0

    def per_layer(self, key: str) -> list[int]:
        """Return a value of each layer, which a header gives once, or as an array."""
        value = self.value(key)
        if isinstance(value, list) and len(value) >= self.layers:
            return [int(each) for each in value[: self.layers]]
        return [self.number(key)] * self.layers

    def largest(self, key: str) -> int:
        return max(self.per_layer(key))

    def head(self, kind: str) -> int:
        """Return the width of one head's key or value."""
        heads = max(1, self.largest("attention.head_count"))
        return self.number(f"attention.{kind}_length") or self.number("embedding_length") // heads

    def has(self, part: str) -> bool:
        return any(key.startswith(f"{self.architecture}.{part}") for key in self._values)


def _kv_widths(facts: _Facts) -> tuple[list[int], tuple[str, ...]]:
    """Return each layer's keys and values, and why they are too many, if they are."""
    heads = facts.per_layer("attention.head_count_kv")
    if not any(heads):
        heads = facts.per_layer("attention.head_count")
    doubts: tuple[str, ...] = ()
    if facts.has("ssm.") or facts.has("wkv.") or facts.has("shortconv."):
        if facts.value("attention.head_count_kv") is None or not any(heads):
            raise ModelSizeUnknown(
                f"{facts.path}: a recurrent model ({facts.architecture}): its memory is not known"
            )
        heads = [each or max(heads) for each in heads]
        doubts += ("its recurrent layers are counted as attention: an upper bound",)
    if facts.has("attention.kv_lora_rank"):
        doubts += ("its compressed keys and values are counted in full: an upper bound",)
    if not any(heads):
        raise ModelSizeUnknown(f"{facts.path}: its header names no attention heads: its memory is not known")
    return [each * (facts.head("key") + facts.head("value")) for each in heads], doubts


def _windows(facts: _Facts) -> tuple[list[bool], int, tuple[str, ...]]:
    """Return which layers see a window only, its tokens, and a doubt where that is not known."""
    window = facts.number("attention.sliding_window")
    whole = [False] * facts.layers
    if not window:
        return whole, 0, ()
    if facts.architecture not in WINDOW_PERIODS:
        return whole, 0, ("its sliding windows are counted as the whole context: an upper bound",)
    pattern = facts.value("attention.sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) >= facts.layers:
        return [bool(short) for short in pattern[: facts.layers]], window, ()
    period = pattern if isinstance(pattern, int) and pattern > 0 else WINDOW_PERIODS[facts.architecture]
    return [layer % period < period - 1 for layer in range(facts.layers)], window, ()
