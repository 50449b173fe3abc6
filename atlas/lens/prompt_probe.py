"""How difficult a problem is, by the model's state at the end of its prompt: a logistic probe; numpy alone.

A linear probe on hidden states, as of Alain and Bengio 2016 (arXiv:1610.01644): P(a sample is right) =
1 / (1 + exp(-z)), z linear in the standardised state. It is trained with the `span` weights that it is kept
beside, on plain samples of the bare prompt, and speaks of no other prompt. Some weights have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from atlas.contracts import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP = 10.0
PREFIX = "prompt_"


@dataclass(frozen=True)
class PromptProbe:
    """`mean`, `scale` and `weight` have the shape (hidden size,), `bias` (1,); float32."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def failing(self, states: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the chance that a first try fails, 0 to 1, by the prompts' last states, (n, d) to (n,)."""
        x = np.clip((states - self.mean) / self.scale, -CLIP, CLIP)
        z = (x @ self.weight + self.bias).astype(np.float64)
        chances: NDArray[np.float64] = 0.5 * (1 - np.tanh(0.5 * z))  # 1 / (1 + e^z), without overflow
        return chances

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return it as a weights file names it."""
        return {f"{PREFIX}{name}": getattr(self, name) for name in shapes(len(self.mean))}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float32]]) -> PromptProbe | None:
        """Return the probe among a file's tensors, if there is one."""
        if f"{PREFIX}weight" not in tensors:
            return None
        found = {name: tensors[f"{PREFIX}{name}"] for name in shapes(1)}
        return cls(**found)


def shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each of its arrays for states of so many numbers."""
    return {"mean": (width,), "scale": (width,), "weight": (width,), "bias": (1,)}


def speaks_of(candidate: Candidate) -> bool:
    """Whether the candidate's prompt is of the kind the probe was trained on: no plan, no other wording."""
    return candidate.origin == "sample" and candidate.plan is None and candidate.perturbation is None
