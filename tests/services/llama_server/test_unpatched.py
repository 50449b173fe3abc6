"""Without their fields the patches change nothing: tokens, text and logprobs are the unpatched server's.

But for how the kernels of patches 0006 to 0008 round, where the processor has any (test_many_rows.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas.models import ModelFile
from benchmark.datasets import load
from benchmark.native_llama import NativeLlama, serve

pytestmark = pytest.mark.integration

PROMPTS = [task.problem.statement[:200] for task in load("bundled", limit=6)]
SAME_KERNELS = "--no-repack"
FLAGS = {
    "embeddings off": (),
    "pooling mean": ("--pooling", "mean"),
    "speculation": (
        "--spec-type",
        "ngram-simple",
        "--spec-ngram-simple-size-n",
        "2",
        "--spec-ngram-simple-size-m",
        "6",
    ),
}


def answers(server: NativeLlama) -> list[dict[str, Any]]:
    body = {"n_predict": 32, "temperature": 0, "cache_prompt": False, "n_probs": 3, "return_tokens": True}
    chat = {"messages": [{"role": "user", "content": PROMPTS[0]}], "temperature": 0, "max_tokens": 32}
    chat |= {"logprobs": True, "top_logprobs": 3, "cache_prompt": False}
    whole = [server.complete({"prompt": prompt, **body})[0] for prompt in PROMPTS]
    kept = ("content", "tokens", "completion_probabilities", "stop_type", "tokens_evaluated")
    return [{key: each[key] for key in kept} for each in whole] + [
        server.post("/v1/chat/completions", chat)["choices"][0]
    ]


@pytest.mark.parametrize("flags", FLAGS)
def test_the_same_answers_to_the_last_digit(
    flags: str, native_llama: Path, stock_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    found = []
    for binary in (native_llama, stock_llama):
        embeddings = flags == "pooling mean"
        with serve(
            binary,
            smol_model.path,
            tmp_path / "log",
            SAME_KERNELS,
            *FLAGS[flags],
            slots=1,
            embeddings=embeddings,
        ) as server:
            found.append(answers(server))
    assert found[0] == found[1]
    assert len(found[0][0]["completion_probabilities"]) == 32
