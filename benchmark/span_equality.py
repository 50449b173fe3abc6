"""Are the span embeddings of the patched llama-server those of a full prefill through the unpatched one?

The reference: the prompt's tokens and all generated tokens but the last, sent to the unpatched server's
/embedding without pooling; the rows from the last prompt token on are the states that predicted each
generated token. A generated token is decoded alone or with a draft, a prefilled one in a batch, by other
kernels over quantised weights: cosines near 1, not equal bits.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.errors import InfrastructureError
from benchmark.native_llama import NativeLlama

Vector = NDArray[np.float64]
DTYPES = {"float16": "<f2", "float32": "<f4"}


@dataclass(frozen=True)
class Span:
    """A span embedding as the server sent it: vectors of n_embd values, not normalised."""

    n_tokens: int
    mean: Vector
    last: Vector
    prompt_last: Vector | None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Span:
        """Decode the JSON of a choice's `span_embedding`."""
        dtype, width = DTYPES[fields["encoding"]], fields["n_embd"]

        def vector(name: str) -> Vector:
            values = np.frombuffer(base64.b64decode(fields[name]), dtype).astype(np.float64)
            if values.shape != (width,):
                raise InfrastructureError(f"{name} holds {values.shape} values, not {width}")
            return values

        prompt = vector("prompt_last") if "prompt_last" in fields else None
        return cls(int(fields["n_tokens"]), vector("mean"), vector("last"), prompt)


@dataclass(frozen=True)
class Agreement:
    """Cosines between a span embedding and its reference, each in [-1, 1], and the drafts of the call."""

    mean: float
    last: float
    prompt_last: float
    n_tokens: int
    drafted: int = 0
    accepted: int = 0


def reference(stock: NativeLlama, prompt: Sequence[int], generated: Sequence[int]) -> NDArray[np.float64]:
    """Return the states that predicted `generated`: shape (len(generated), n_embd).

    `stock` serves with `--pooling none`.
    """
    tokens = [*prompt, *generated[:-1]]
    rows = stock.embed(tokens)
    if len(rows) != len(tokens):
        raise InfrastructureError(f"{len(rows)} states for {len(tokens)} tokens")
    return rows[len(prompt) - 1 :]


def agreement(patched: NativeLlama, stock: NativeLlama, prompt: str, body: dict[str, Any]) -> Agreement:
    """Generate once with the field and compare; `body` adds to (or overrides) the request."""
    request = {"prompt": prompt, "return_embedding": True, "return_prompt_embedding": True}
    answer = patched.post("/completion", request | {"return_tokens": True} | body)
    span = Span.of(answer["span_embedding"])
    if span.prompt_last is None or span.n_tokens != answer["tokens_predicted"]:
        raise InfrastructureError(f"{span.n_tokens} states for {answer['tokens_predicted']} tokens")
    states = reference(stock, patched.tokens(prompt), answer["tokens"])
    return Agreement(
        mean=cosine(span.mean, states.mean(axis=0)),
        last=cosine(span.last, states[-1]),
        prompt_last=cosine(span.prompt_last, states[0]),
        n_tokens=span.n_tokens,
        drafted=answer["timings"].get("draft_n", 0),
        accepted=answer["timings"].get("draft_n_accepted", 0),
    )


def worst(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The least cosine of a row to the other's row, both of shape (rows, n_embd).

    Raises:
        ValueError: there is another number of rows, or none.
    """
    return min(cosine(a, b) for a, b in zip(ours, theirs, strict=True))


def cosine(a: Vector, b: Vector) -> float:
    """Cosine similarity of two vectors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
