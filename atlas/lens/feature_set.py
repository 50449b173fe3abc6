"""Feature sets: what the numbers of a vector are. Vectors of different sets never meet.

- `span`: hidden states of the pass that generated the candidate (`SpanEmbedding`; a patched llama-server).
  Its parts are concatenated in order, so with mean, last and prompt_last d is three times the model's hidden
  size.
- `reprefill`: a text's states from a second pass (`TextEmbedding`, /embedding of any server). What generated
  the token and what reads it later are not the same state, so this is a set of its own.
- `surface`: no hidden state: log-probabilities, length, parse facts, runs on public examples, agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from atlas.contracts import Contract
from atlas.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

FeatureKind = Literal["span", "surface", "reprefill"]
KINDS: tuple[FeatureKind, ...] = ("span", "surface", "reprefill")
KIND_VERSIONS: dict[FeatureKind, int] = {"span": 1, "surface": 1, "reprefill": 1}


class FeatureSet(Contract):
    """A set's whole identity. `parts`: what is concatenated; `width`: numbers of each part.

    `version` counts up with any change of what the numbers mean.
    """

    kind: FeatureKind
    version: int = Field(default=1, ge=1)
    parts: tuple[str, ...] = Field(min_length=1)
    width: int = Field(ge=1)

    @property
    def dimension(self) -> int:
        """Numbers in a vector of this set."""
        return len(self.parts) * self.width

    @property
    def name(self) -> str:
        """The set in a few words, for messages."""
        what = f"{len(self.parts)} features" if self.kind == "surface" else f"{'+'.join(self.parts)}"
        return f"{self.kind}-{self.version} ({what}, d = {self.dimension})"


@dataclass(frozen=True)
class FeatureVector:
    """A candidate in numbers of one set: `values` has shape (features.dimension,), all finite.

    Raises:
        BadInput: if they are not.
    """

    features: FeatureSet
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.shape != (self.features.dimension,):
            raise BadInput(f"a vector of {self.features.name} has not the shape {self.values.shape}")
        if not np.isfinite(self.values).all():
            raise BadInput(f"a vector of {self.features.name} holds what is not a number")


def must_match(wanted: FeatureSet, given: FeatureSet) -> None:
    """Refuse a vector of another set than the weights were trained on.

    Raises:
        BadInput: names both.
    """
    if wanted != given:
        raise BadInput(f"weights for {wanted.name} cannot score a vector of {given.name}")
