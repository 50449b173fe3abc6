"""C(x): the energy of a feature vector, d → 512 → 128 → 1, SiLU between, softplus at the end; numpy alone.

x is standardised with the training set's mean and scale (held to ±`CLIP` deviations, so that nothing read
from a server makes it overflow). Energies are ≥ 0, and lower is better; they compare candidates of one task
and are no probabilities (the card says how they come to be). Weights are kept as float16 and computed with as
float32: safetensors, with the identity as JSON in the header. `span` weights may have a probe of the prompt's
state beside them (`prompt_probe`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from atlas.contracts import Contract
from atlas.errors import ConfigError
from atlas.lens import prompt_probe
from atlas.lens.feature_set import KIND_VERSIONS, FeatureSet, FeatureVector, must_match
from atlas.lens.prompt_probe import PREFIX, PromptProbe

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN = (512, 128)
CLIP = 10.0
HEADER = "atlas"
LEAST_SCALE = 1e-3


class WeightsIdentity(Contract):
    """What weights are for: the GGUF by its sha256, told by `model` to people, and the feature set.

    `auc`: how well such weights order a task's candidates before any is run, on training tasks kept out of
    their training (the card's figure); of two sets that a server can feed, a task gets the better.
    """

    format: Literal[1] = 1
    model: str
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    features: FeatureSet
    auc: float | None = Field(default=None, ge=0, le=1)


@dataclass(frozen=True)
class EnergyModel:
    """Weights that are loaded. `tensors` by name, float32; `name` is what scores and pins call them."""

    identity: WeightsIdentity
    name: str
    tensors: Mapping[str, NDArray[np.float32]]

    @property
    def probe(self) -> PromptProbe | None:
        """What tells a problem's difficulty from its prompt's last state, where it was trained."""
        return PromptProbe.of(self.tensors)

    def energies(self, vectors: Sequence[FeatureVector]) -> NDArray[np.float32]:
        """Return the energy of each vector, shape (n,), ≥ 0.

        Raises:
            BadInput: a vector is of another feature set.
        """
        if not vectors:
            return np.zeros(0, dtype=np.float32)
        for vector in vectors:
            must_match(self.identity.features, vector.features)
        return self.of_rows(np.stack([vector.values for vector in vectors]))

    def of_rows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the energies of rows known to be of this set, shape (n, d) to (n,)."""
        t = self.tensors
        h = np.clip((x - t["mean"]) / t["scale"], -CLIP, CLIP)
        h = _silu(h @ t["w1"] + t["b1"])
        h = _silu(h @ t["w2"] + t["b2"])
        z: NDArray[np.float32] = (h @ t["w3"] + t["b3"])[:, 0]
        energies: NDArray[np.float32] = np.logaddexp(np.float32(0), z)
        return energies


def shapes(dimension: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor for vectors of so many numbers."""
    first, second = HIDDEN
    return {
        "mean": (dimension,),
        "scale": (dimension,),
        "w1": (dimension, first),
        "b1": (first,),
        "w2": (first, second),
        "b2": (second,),
        "w3": (second, 1),
        "b3": (1,),
    }


def to_bytes(identity: WeightsIdentity, tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return the file of these weights, in float16.

    Raises:
        KeyError: a tensor is missing.
        ValueError: one is of another shape, or does not fit into float16.
    """
    halves = {}
    for name, shape in _wanted(identity, tensors).items():
        with np.errstate(over="ignore"):  # told below, by name
            half = np.ascontiguousarray(tensors[name]).astype(np.float16)
        if half.shape != shape or not np.isfinite(half).all():
            raise ValueError(f"{name}: shape {half.shape}, not {shape}, or beyond float16")
        halves[name] = half
    header = json.dumps(identity.model_dump(mode="json"), sort_keys=True)
    return bytes(save_tensors(halves, metadata={HEADER: header}))


def read_identity(path: Path) -> tuple[WeightsIdentity, str]:
    """Return what a weights file is for, and its name: the kind and the beginning of the file's sha256.

    Raises:
        ConfigError: it is no weights file of this version.
    """
    return _identity(_content(path), path)


def load(path: Path) -> EnergyModel:
    """Read a weights file, once: whoever replaces it meanwhile changes nothing here.

    Raises:
        ConfigError: it is no weights file of this version, or not whole.
    """
    content = _content(path)
    identity, name = _identity(content, path)
    try:
        found = load_tensors(content)
    except SafetensorError as error:
        raise ConfigError(f"{path} cannot be read as safetensors: {error}") from error
    tensors = {key: value.astype(np.float32) for key, value in found.items()}
    wrong = [k for k, shape in _wanted(identity, tensors).items() if _shape(tensors, k) != shape]
    if wrong or not all(np.isfinite(value).all() for value in tensors.values()):
        what = ", ".join(wrong) or "a tensor"
        raise ConfigError(f"{path}: {what} is not what {identity.features.name} needs")
    for scale in {"scale", f"{PREFIX}scale"} & tensors.keys():
        tensors[scale] = np.maximum(tensors[scale], LEAST_SCALE)
    return EnergyModel(identity, name, tensors)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _identity(content: bytes, path: Path) -> tuple[WeightsIdentity, str]:
    """Read the header: its length in 8 bytes, then JSON (the safetensors format)."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])["__metadata__"][HEADER]
        identity = WeightsIdentity.model_validate_json(header)
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{path} holds no lens weights of this version") from error
    version = KIND_VERSIONS[identity.features.kind]
    if identity.features.version != version:
        raise ConfigError(f"{path} is for {identity.features.name}; this version computes version {version}")
    return identity, name_of(content, identity)


def name_of(content: bytes, identity: WeightsIdentity) -> str:
    """Return what scores and pins call the weights of a file: the kind, the beginning of its sha256."""
    return f"{identity.features.kind}:{hashlib.sha256(content).hexdigest()[:16]}"


def kind_of(name: str) -> str:
    """Return the kind of the feature set of weights that are called so."""
    return name.partition(":")[0]


def _wanted(identity: WeightsIdentity, tensors: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of such a file: with the probe's where there is any of the probe."""
    features = identity.features
    wanted = shapes(features.dimension)
    if features.kind == "span" and any(name.startswith(PREFIX) for name in tensors):
        wanted |= {PREFIX + name: shape for name, shape in prompt_probe.shapes(features.width).items()}
    return wanted


def _shape(tensors: Mapping[str, NDArray[np.float32]], name: str) -> tuple[int, ...] | None:
    return tensors[name].shape if name in tensors else None


def _silu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    # 1 / (1 + e^-x) without overflow on either side.
    sigmoid: NDArray[np.float32] = np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * x))
    return x * sigmoid
