"""How much memory a model, its draft model and their caches take, and what fits: pure arithmetic.

The sizes are those that llama-server allocates when it starts (unified KV cache, flash attention, all layers
on one device). The cache follows its source (src/llama-kv-cache*.cpp) exactly. The compute buffer's formula
was found from its logs: it is within 1% for the four models at hand, several batches and contexts, and up to
8% too large where keys and values are quantised, or the patched server embeds (compared by
tests/atlas/test_memory_real.py). What CUDA itself takes was not measured: there was no GPU.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

from atlas.config import KvType
from atlas.model_size import ModelSize

KV_TYPES: tuple[KvType, ...] = get_args(KvType)
GIB = 1 << 30
_BYTES_OF_32 = {"f16": 64, "q8_0": 34, "q4_0": 18}  # ggml-common.h: a block of 32 elements and its scale
_CELLS = 256  # the cache's size is a multiple of it

TASK_TOKENS = 8192  # room for one task: its prompt, some thinking, a program
LEAST_TOKENS = 2048
STEP_TOKENS = 1024
USUAL_SLOTS = 4
CUDA_BYTES = 3 * GIB // 4  # context, kernels and workspaces of one process; reports say 0.5 to 0.8
HEADROOM_BYTES = GIB // 2  # what the driver keeps of a card's nominal size, a screen, fragmentation
PROCESS_BYTES = 256_000_000  # on the CPU: the server itself
# Prompts of tasks that wait for something else, put aside in the machine's memory when another call begins:
# 22,000 tokens of the 0.5B model on the CPU, 24,000 of a 14B one at q8_0 beside a GPU. What is not there any
# more is read anew. llama-server's own limit, 8 GiB, would fill a small machine with tasks that have ended.
OLD_PROMPTS_MIB = 256
OLD_PROMPTS_MIB_BESIDE_GPU = 2048


@dataclass(frozen=True)
class Load:
    """What a server is started with; `batch` tokens are prefilled at once."""

    context: int
    slots: int
    kv_type: KvType
    batch: int


@dataclass(frozen=True)
class Part:
    """Bytes that one thing takes: for the model, and for its draft model."""

    name: str
    model: int
    draft: int = 0

    @property
    def bytes(self) -> int:
        """Both."""
        return self.model + self.draft


@dataclass(frozen=True)
class Budget:
    """The bytes there are, of a GPU's memory or of the machine's."""

    bytes: int
    gpu: bool


@dataclass(frozen=True)
class Wish:
    """What the user has decided; None leaves it to the plan. `draft` True: it must draft."""

    context: int | None = None
    slots: int | None = None
    kv_type: KvType | None = None
    draft: bool | None = None


@dataclass(frozen=True)
class Plan:
    """Settings with what they take. `draft`: whether the draft model is loaded."""

    load: Load
    draft: bool
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True)
class Models:
    """The model to plan for, the one that may draft for it, and the batch of the server."""

    model: ModelSize
    draft: ModelSize | None
    batch: int

    def plan(self, load: Load, *, draft: bool, gpu: bool) -> Plan:
        """Return what `load` takes, whether it fits or not."""
        model, drafts = self.model, self.draft if draft else None

        def both(name: str, of: Callable[[ModelSize], int]) -> Part:
            return Part(name, of(model), of(drafts) if drafts else 0)

        parts = [
            both("weights", lambda size: size.weights - (size.token_table if gpu else 0)),
            both("KV cache", lambda size: cache_bytes(size, load)),
            # A server that gives embeddings makes every token of a batch an output; a draft model gives none.
            both(
                "compute buffers",
                lambda size: compute_bytes(size, load, load.batch if size is model else load.slots),
            ),
        ]
        if not gpu:
            parts += [
                Part("logits", 4 * load.batch * model.vocabulary),
                Part("old prompts", OLD_PROMPTS_MIB << 20),
                Part("the server itself", PROCESS_BYTES),
            ]
            return Plan(load, draft, tuple(parts))
        if load.kv_type != "f16":  # CUDA's flash attention reads f16: it converts one layer's cache at a time
            parts.append(both("cache as f16", lambda size: 2 * load.context * size.kv_layer))
        return Plan(load, draft, (*parts, Part("CUDA", CUDA_BYTES), Part("headroom", HEADROOM_BYTES)))


def cache_bytes(size: ModelSize, load: Load) -> int:
    """Return the bytes of all keys and values."""
    cells = _up(load.context) * size.kv_full + _window_cells(size, load) * size.kv_window
    return cells * _BYTES_OF_32[load.kv_type] // 32


def compute_bytes(size: ModelSize, load: Load, outputs: int) -> int:
    """Return the bytes of the buffer one batch is computed in, `outputs` of whose tokens get logits.

    Its largest moment is either a layer's feed-forward part or the logits; the attention's mask (16 bits for
    each token of the batch and cell of the cache) is there all the time.
    """
    layer = load.batch * (3 * size.feed_forward + 3 * size.width + size.queries)
    states = load.batch * size.width * (1 if load.kv_type == "f16" else 2)
    logits = min(outputs, load.batch) * size.vocabulary + states
    mask = load.batch * (_up(load.context) + (_window_cells(size, load) if size.kv_window else 0))
    return 4 * max(layer, logits) + 2 * mask


def _window_cells(size: ModelSize, load: Load) -> int:
    return min(_up(load.context), _up(size.window * load.slots + load.batch))


def _up(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


def largest_context(models: Models, budget: Budget, slots: int, kv_type: KvType, *, draft: bool) -> int:
    """Return how many tokens fit, in steps of 1024, up to what all slots together can use; 0: none."""

    def needed(steps: int) -> int:
        load = Load(steps * STEP_TOKENS, slots, kv_type, models.batch)
        return models.plan(load, draft=draft, gpu=budget.gpu).bytes

    steps = range(1, slots * models.model.context // STEP_TOKENS + 1)
    return bisect.bisect_right(steps, budget.bytes, key=needed) * STEP_TOKENS


def recommend(models: Models, budget: Budget, wish: Wish) -> Plan | None:
    """Return the best plan that fits; None where none does.

    Better is, in this order: more slots with room for a task each; more context; a draft model; 16-bit keys
    and values. So more memory never gives fewer slots, nor less context. 4-bit ones lose too much to be
    recommended: they must be wished for.
    """
    plans = candidates(models, wish, gpu=budget.gpu)
    return next((plan for plan in plans if plan.bytes <= budget.bytes), None)


def candidates(models: Models, wish: Wish, *, gpu: bool) -> Iterator[Plan]:
    """Yield every plan that the wish allows, the best first."""
    drafts = [wish.draft] if wish.draft is not None else [True, False] if gpu else [False]
    if models.draft is None:
        drafts = [False]
    kv_types: list[KvType] = [wish.kv_type] if wish.kv_type else ["f16", "q8_0"]
    for slots, context in _sizes(models.model.context, wish):
        for draft in drafts:
            for kv_type in kv_types:
                load = Load(context, slots, kv_type, models.batch)
                yield models.plan(load, draft=draft, gpu=gpu)


def _sizes(trained: int, wish: Wish) -> Iterator[tuple[int, int]]:
    """Yield slots and context in tokens: room for a task in each slot, then less in the last one."""
    each = min(TASK_TOKENS, trained)
    if wish.context is not None:
        slots = wish.slots or max(1, min(USUAL_SLOTS, wish.context // each))
        yield slots, wish.context
        return
    slots = wish.slots or USUAL_SLOTS
    least = wish.slots or 1
    for count in range(slots, least - 1, -1):
        yield count, count * each
    for context in range(least * each - STEP_TOKENS, LEAST_TOKENS - 1, -STEP_TOKENS):
        yield least, context


def advice(models: Models, budget: Budget, wish: Wish) -> list[str]:
    """Return changes each of which alone makes a wish fit that does not; the last resort if there is none."""
    first = next(candidates(models, wish, gpu=budget.gpu))
    slots, draft = first.load.slots, bool(wish.draft and first.draft)
    kv_type = wish.kv_type or "q8_0"
    found: list[str] = []
    context = largest_context(models, budget, slots, kv_type, draft=draft)
    if wish.context is not None and context >= LEAST_TOKENS:
        found.append(f"a smaller context: --context {context}")
    for smaller in KV_TYPES[KV_TYPES.index(kv_type) + 1 :]:
        if recommend(models, budget, replace(wish, kv_type=smaller)):
            found.append(f"a smaller type of keys and values: --kv-type {smaller}")
            break
    if draft and recommend(models, budget, replace(wish, draft=False)):
        found.append("no draft model: --draft none")
    if wish.slots and wish.slots > 1:
        fewer = (s for s in range(wish.slots - 1, 0, -1) if recommend(models, budget, replace(wish, slots=s)))
        found += [f"fewer slots: --slots {most}" for most in [next(fewer, 0)] if most]
    if found:
        return found
    least = models.plan(Load(LEAST_TOKENS, 1, "q8_0", models.batch), draft=False, gpu=budget.gpu)
    room = budget.bytes - (least.bytes - models.model.weights)
    if room <= 0:
        return ["more memory: what is needed beside the weights does not fit"]
    return [
        f"a smaller model or quantisation: a file of at most {room / 1e9:.1f} GB, "
        f"not {models.model.weights / 1e9:.1f}"
    ]
