"""The model's own hidden states, pooled to vectors; two kinds, which are not comparable and never mixed.

`SpanEmbedding` comes with a completion, from the pass that generated it (a patched llama-server, see
services/llama-server/patches). `TextEmbedding` comes from /embedding, which reads a text once more. Vectors
are base64 of little-endian float16 and not normalised: states after the model's final norm.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from atlas.contracts import Contract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPAN_VERSION: Literal[1] = 1  # the convention this code knows; a server with another is not asked
FLOAT16_MAX = 65504.0
Pooling = Literal["mean", "last"]
SpanVector = Literal["mean", "last", "prompt_last"]


class SpanEmbedding(Contract):
    """The `n_tokens` states that predicted a completion's tokens, its stop token included (convention 1).

    They begin at the prompt's last token and end at the last token but one. `mean` is their mean, `last` the
    one that predicted the last token, `prompt_last` the one that predicted the first.
    """

    kind: Literal["span"] = "span"
    version: Literal[1] = SPAN_VERSION
    n_tokens: int = Field(ge=1)
    n_embd: int = Field(ge=1)
    mean: str
    last: str
    prompt_last: str

    @model_validator(mode="after")
    def _lengths(self) -> SpanEmbedding:
        for text in (self.mean, self.last, self.prompt_last):
            _raw(text, self.n_embd)
        return self

    @classmethod
    def of(cls, states: NDArray[np.float64]) -> SpanEmbedding:
        """Encode the states themselves, shape (n_tokens, n_embd), in the order of the tokens they predicted.

        Raises:
            ValueError: if one of their numbers is not finite.
        """
        n_tokens, n_embd = states.shape
        mean, last, prompt_last = (_encoded(row) for row in (states.mean(axis=0), states[-1], states[0]))
        return cls(n_tokens=n_tokens, n_embd=n_embd, mean=mean, last=last, prompt_last=prompt_last)

    def vector(self, which: SpanVector) -> NDArray[np.float32]:
        """Return one of the three, shape (n_embd,)."""
        return _decoded(
            {"mean": self.mean, "last": self.last, "prompt_last": self.prompt_last}[which], self.n_embd
        )


class TextEmbedding(Contract):
    """A text's states in one vector. `pooling` is "server" where the server pools as it was started to."""

    kind: Literal["reprefill"] = "reprefill"
    pooling: Literal["mean", "last", "server"]
    n_embd: int = Field(ge=1)
    values: str

    @model_validator(mode="after")
    def _length(self) -> TextEmbedding:
        _raw(self.values, self.n_embd)
        return self

    @classmethod
    def of(cls, row: Sequence[float], pooling: Literal["mean", "last", "server"]) -> TextEmbedding:
        """Encode a row of numbers; what float16 cannot hold becomes its largest value.

        Raises:
            ValueError: if one of them is not a finite number.
        """
        return cls(pooling=pooling, n_embd=len(row), values=_encoded(row))

    def vector(self) -> NDArray[np.float32]:
        """Return it, shape (n_embd,)."""
        return _decoded(self.values, self.n_embd)


def _encoded(row: Sequence[float] | NDArray[np.float64]) -> str:
    import numpy as np  # here, as below: loading it would double the time the CLI takes to start

    values = np.asarray(row, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the embedding holds what is not a number")
    return base64.b64encode(values.clip(-FLOAT16_MAX, FLOAT16_MAX).astype("<f2").tobytes()).decode()


def _raw(text: str, n_embd: int) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if len(raw) != 2 * n_embd:
        raise ValueError(f"a vector of {n_embd} float16 numbers has {2 * n_embd} bytes, not {len(raw)}")
    return raw


def _decoded(text: str, n_embd: int) -> NDArray[np.float32]:
    import numpy as np

    return np.frombuffer(_raw(text, n_embd), dtype="<f2").astype(np.float32)
