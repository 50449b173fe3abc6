"""Between recorded choices and the chunks that llama-server streams."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atlas.llama_stream import LOGPROB_FLOOR, Drawing
from benchmark.recorded.completions import Call, Piece, Recorded


def chunks_of(recorded: Recorded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a recorded choice as two chunks, the last with its span embedding if it has one."""
    choice = recorded.choice
    usage = choice.usage
    counts = {"tokens_predicted": usage.tokens_out, "tokens_evaluated": usage.tokens_in}
    timings: dict[str, Any] = {
        "cache_n": usage.tokens_cached,
        "prompt_ms": recorded.prompt_s * 1000,
        "predicted_ms": recorded.predicted_s * 1000,
    }
    if usage.tokens_drafted:
        timings |= {"draft_n": usage.tokens_drafted, "draft_n_accepted": usage.tokens_accepted}
    stop_type = "limit" if choice.finish == "length" else "word" if choice.stopped_by else "eos"
    text = {
        "content": choice.text,
        "stop": False,
        "id_slot": recorded.slot,
        "completion_probabilities": [{"logprob": value} for value in recorded.logprobs],
        **counts,
    }
    end = {
        "content": "",
        "stop": True,
        "id_slot": recorded.slot,
        "stop_type": stop_type,
        "stopping_word": choice.stopped_by or "",
        "timings": timings,
        **counts,
    }
    if choice.span is not None:
        span = choice.span.model_dump(
            include={"version", "n_tokens", "n_embd", "mean", "last", "prompt_last"}
        )
        end["span_embedding"] = span | {"encoding": "float16"}
    elif not usage.tokens_out:
        end["span_embedding"] = {"n_tokens": 0}
    return text, end


def recorded_of(call: Call, drawn: Sequence[Iterable[dict[str, Any]]], n_embd: int | None) -> list[Recorded]:
    """Return what a call's chunks, by choice, come to. `n_embd`: the length of their span embeddings.

    Raises:
        ModelServerError: they are not whole, or not llama-server's.
    """
    drawing = Drawing(len(drawn), n_embd)
    pieces: list[list[Piece]] = [[] for _ in drawn]
    ends: list[Mapping[str, Any]] = [{} for _ in drawn]
    for index, chunks in enumerate(drawn):
        for chunk in chunks:
            drawing.take(json.dumps(chunk | {"index": index}))
            ends[index] = chunk
            if chunk["content"] or chunk.get("completion_probabilities"):
                pieces[index].append(_piece(chunk))
    choices, slot, _ = drawing.whole()
    return [
        Recorded(
            choice=choice,
            asked=call.sampling.max_tokens,
            stop=call.stop,
            slot=slot,
            prompt_s=float(end["timings"].get("prompt_ms", 0.0)) / 1000,
            predicted_s=float(end["timings"].get("predicted_ms", 0.0)) / 1000,
            pieces=tuple(streamed),
        )
        for choice, end, streamed in zip(choices, ends, pieces, strict=True)
    ]


def _piece(chunk: Mapping[str, Any]) -> Piece:
    values = (token["logprob"] for token in chunk.get("completion_probabilities", ()))
    known = (value if value is not None and math.isfinite(value) else LOGPROB_FLOOR for value in values)
    logprobs = tuple(max(LOGPROB_FLOOR, min(0.0, value)) for value in known)
    return Piece(chunk["tokens_predicted"], chunk["content"], logprobs)
