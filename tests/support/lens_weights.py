"""Small lens weights whose energies are known, for tests."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from atlas.lens.energy import WeightsIdentity, shapes, to_bytes
from atlas.lens.feature_set import FeatureSet
from atlas.lens.prompt_probe import PromptProbe
from atlas.lens.surface import SURFACE
from atlas.span_embedding import SpanEmbedding

SHA = "ab" * 32
WIDTH = 4


def span_set(width: int = WIDTH, parts: tuple[str, ...] = ("mean", "last")) -> FeatureSet:
    return FeatureSet(kind="span", parts=parts, width=width)


def surface_set() -> FeatureSet:
    return FeatureSet(kind="surface", parts=SURFACE, width=1)


def write_weights(
    path: Path,
    features: FeatureSet,
    *,
    sha256: str = SHA,
    bias: float = 0.0,
    feature: int = 0,
    probe: PromptProbe | None = None,
    auc: float | None = None,
) -> Path:
    """Weights whose energy grows with one number of the vector; `bias` moves all of them."""
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes(features.dimension).items()}
    tensors["scale"] += 1
    tensors["w1"][feature, 0] = tensors["w2"][0, 0] = tensors["w3"][0, 0] = 1
    tensors["b3"][0] = bias
    tensors |= probe.tensors() if probe else {}
    identity = WeightsIdentity(model="m", model_sha256=sha256, features=features, auc=auc)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As a trainer does: whoever reads finds the old file or the new one.
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(to_bytes(identity, tensors))
    temporary.replace(path)
    return path


def span(*mean: float, last: float = 0.0, prompt: float = 0.0) -> SpanEmbedding:
    """A span embedding of as many numbers as `mean` has."""

    def half(values: list[float]) -> str:
        return base64.b64encode(np.asarray(values, "<f2").tobytes()).decode()

    n = len(mean)
    return SpanEmbedding(
        n_tokens=3, n_embd=n, mean=half(list(mean)), last=half([last] * n), prompt_last=half([prompt] * n)
    )
