"""Speculative decoding that is configured but does not happen is found here, before a task pays for it.

A draft model must have the tokens of the model it drafts for, and a server must be seen to draft: with
the wrong flag llama-server loads the draft model, and never asks it.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from atlas.embedded.gguf import Vocabulary, read_vocabulary
from atlas.errors import StartupError

# llama.cpp's own rule (common/speculative.cpp): the first few tokens may differ, and the padding at the end.
FIRST_COMPARED = 5
SIZES_DIFFER_BY = 128
PROBE = "1 2 3 4 5 6 7 8 9 " * 6
PROBE_TOKENS = 32
PROBE_TIMEOUT_S = 120.0


def must_match(model: Path, draft: Path) -> None:
    """Refuse a draft model whose tokens are not the model's.

    Raises:
        StartupError: says how they differ.
        ModelFileError: a header cannot be read.
    """
    difference = _difference(read_vocabulary(model), read_vocabulary(draft))
    if difference:
        raise StartupError(
            f"{draft.name} cannot draft for {model.name}: {difference}; set DRAFT_MODEL to a smaller "
            "model of the same family, or to none"
        )


def _difference(model: Vocabulary, draft: Vocabulary) -> str:
    if model.kind != draft.kind:
        return f"its tokenizer is {draft.kind}, the model's {model.kind}"
    sizes = len(draft.tokens), len(model.tokens)
    if abs(sizes[0] - sizes[1]) > SIZES_DIFFER_BY:
        return f"it has {sizes[0]} tokens, the model {sizes[1]}"
    for name, ours, its in zip(("begins", "ends"), model.marks, draft.marks, strict=True):
        if ours != its:
            return f"a text {name} with another token"
    pairs = enumerate(zip(model.tokens, draft.tokens, strict=False))
    differing = next((i for i, (ours, its) in pairs if i >= FIRST_COMPARED and ours != its), None)
    return "" if differing is None else f"token {differing} is not the same"


def must_draft(url: str) -> None:
    """See a server with a draft model draft: 32 tokens of a text that goes on as it began.

    Raises:
        StartupError: it drafted nothing, or failed the call.
    """
    body = {"prompt": PROBE, "n_predict": PROBE_TOKENS, "temperature": 0, "cache_prompt": False}
    try:
        answer = httpx.post(f"{url}/completion", json=body, timeout=PROBE_TIMEOUT_S, trust_env=False)
        drafted = int(answer.raise_for_status().json()["timings"].get("draft_n", 0))
    except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StartupError(
            f"llama-server with a draft model fails its first call ({error}); set DRAFT_MODEL=none"
        ) from error
    if not drafted:
        raise StartupError(
            f"llama-server has a draft model and drafted none of {PROBE_TOKENS} tokens: its build may "
            "not know `--spec-type draft-simple`: ./scripts/build-llama-server.sh makes one that does; or "
            "set DRAFT_MODEL=none"
        )
