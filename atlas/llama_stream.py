"""Completions as llama-server streams them: chunks of several choices, interleaved, made whole."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from atlas.contracts import LogprobSummary, Usage
from atlas.errors import ModelServerError
from atlas.events import Choice
from atlas.span_embedding import SpanEmbedding

LOGPROB_FLOOR = -100.0  # the server reports -inf for tokens a sampler forced; a mean needs a number
PATH = "/completion"


class Drawing:
    """The `n` completions of one call as they arrive.

    `tokens` have come so far, of all of them. `n_embd`: each is to bring its span embedding, of that length.
    """

    def __init__(self, n: int, n_embd: int | None = None) -> None:
        self._drawn = [_Drawn(n_embd) for _ in range(n)]

    @property
    def tokens(self) -> int:
        """Tokens that have come so far."""
        return sum(drawn.tokens for drawn in self._drawn)

    def take(self, data: str) -> int:
        """Add a streamed chunk to its completion; return how many tokens it brought.

        Raises:
            ModelServerError: the chunk is the server's error, or not llama-server's.
        """
        try:
            chunk = json.loads(data)
            if error := chunk.get("error"):
                code = error.get("code", 500) if isinstance(error, dict) else 500
                raise ModelServerError(f"llama-server broke off: {error}", retryable=code >= 500)
            drawn: _Drawn = self._drawn[chunk["index"]]
            before = drawn.tokens
            drawn.take(chunk)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign(PATH, error) from error
        return drawn.tokens - before

    def whole(self) -> tuple[tuple[Choice, ...], int | None, float]:
        """Return the completions, the slot of the first, and the seconds that the slowest took.

        Raises:
            ModelServerError: the stream ended before all were whole, or they are not llama-server's.
        """
        if unfinished := [i for i, drawn in enumerate(self._drawn) if drawn.last is None]:
            raise ModelServerError(f"llama-server ended the stream before choices {unfinished} were whole")
        try:
            choices = tuple(drawn.choice(shares=index > 0) for index, drawn in enumerate(self._drawn))
            first = self._drawn[0].last or {}
            return choices, first["id_slot"], max(drawn.seconds for drawn in self._drawn)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign(PATH, error) from error


class _Drawn:
    """One completion as it arrives."""

    def __init__(self, n_embd: int | None) -> None:
        self.n_embd = n_embd
        self.parts: list[str] = []
        self.logprobs: list[float] = []
        self.tokens: int = 0
        self.last: dict[str, Any] | None = None

    def take(self, chunk: dict[str, Any]) -> None:
        self.parts.append(chunk["content"])
        self.tokens = chunk["tokens_predicted"]
        for token in chunk.get("completion_probabilities", ()):
            logprob = token["logprob"]
            known = logprob is not None and math.isfinite(logprob)
            self.logprobs.append(max(LOGPROB_FLOOR, min(0.0, logprob)) if known else LOGPROB_FLOOR)
        if chunk["stop"]:
            self.last = chunk

    @property
    def seconds(self) -> float:
        timings = self.last["timings"] if self.last else {}
        return float(timings.get("prompt_ms", 0.0) + timings.get("predicted_ms", 0.0)) / 1000

    def choice(self, *, shares: bool) -> Choice:
        """Return it, whole. `shares`: it took the prompt over from the first, though the server says 0."""
        last = self.last or {}
        timings = last["timings"]
        return Choice(
            text="".join(self.parts),
            usage=Usage(
                tokens_in=last["tokens_evaluated"],
                tokens_out=last["tokens_predicted"],
                tokens_cached=last["tokens_evaluated"] if shares else timings["cache_n"],
                tokens_drafted=timings.get("draft_n", 0),
                tokens_accepted=timings.get("draft_n_accepted", 0),
            ),
            finish="length" if last["stop_type"] == "limit" else "stop",
            stopped_by=last.get("stopping_word") or None,
            logprob=summarise(self.logprobs),
            span=_span(last["span_embedding"], self.n_embd) if self.n_embd else None,
        )


def _span(answer: dict[str, Any], n_embd: int) -> SpanEmbedding | None:
    """Read a choice's span embedding; None where no token was generated."""
    if answer["n_tokens"] == 0:
        return None
    if (answer["encoding"], answer["n_embd"]) != ("float16", n_embd):
        raise ValueError(f"{answer['encoding']} vectors of {answer['n_embd']}, float16 of {n_embd} expected")
    return SpanEmbedding(
        n_tokens=answer["n_tokens"],
        n_embd=n_embd,
        mean=answer["mean"],
        last=answer["last"],
        prompt_last=answer["prompt_last"],
    )


def summarise(logprobs: Sequence[float]) -> LogprobSummary | None:
    """Return mean, minimum and mean of the lowest tenth (at least one) of token log-probabilities."""
    if not logprobs:
        return None
    lowest = sorted(logprobs)[: max(1, len(logprobs) // 10)]
    mean = sum(logprobs) / len(logprobs)
    return LogprobSummary(mean=mean, minimum=lowest[0], lowest_decile=sum(lowest) / len(lowest))


def foreign(path: str, error: Exception) -> ModelServerError:
    """Return the error of an answer in another language than llama-server's."""
    what = f"{type(error).__name__}: {error}"[:200]
    return ModelServerError(f"{path} answers what no llama-server would: {what}", retryable=False)
