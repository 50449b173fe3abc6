"""Draft models: which may draft, and that drafting is seen to happen."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from embedded_bench import settings_for

from atlas.embedded import drafting, llama_flags, llama_server
from atlas.errors import StartupError
from atlas.models import ModelFile

Value = tuple[int, bytes]
TOKENS = [f"token{i}" for i in range(200)]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def string(value: str) -> Value:
    return 8, text(value)


def strings(values: list[str]) -> Value:
    return 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def gguf(path: Path, **changed: Value) -> Path:
    """Write a header without tensors (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
    values: dict[str, Value] = {
        "model": string("gpt2"),
        "scores": (9, struct.pack("<IQ3f", 6, 3, 1, 2, 3)),
        "tokens": strings(TOKENS),
        "bos_token_id": (4, struct.pack("<I", 1)),
        "add_bos_token": (7, b"\x01"),
        **changed,
    }
    body = b"".join(
        text(f"tokenizer.ggml.{key}") + struct.pack("<I", kind) + raw for key, (kind, raw) in values.items()
    )
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(values)) + body)
    return path


OTHER_TOKEN = [*TOKENS[:7], "other", *TOKENS[8:]]


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"model": string("llama")}, "its tokenizer is llama, the model's gpt2"),
        ({"tokens": strings(TOKENS + TOKENS)}, "it has 400 tokens, the model 200"),
        ({"tokens": strings(OTHER_TOKEN)}, "token 7 is not the same"),
        ({"bos_token_id": (4, struct.pack("<I", 2))}, "a text begins with another token"),
        ({"add_bos_token": (7, b"\x00")}, "a text begins with another token"),
    ],
)
def test_other_tokens_are_refused(changed: dict[str, Value], difference: str, tmp_path: Path) -> None:
    model, draft = gguf(tmp_path / "m.gguf"), gguf(tmp_path / "d.gguf", **changed)
    with pytest.raises(StartupError, match=rf"d\.gguf cannot draft for m\.gguf: {difference}; set"):
        drafting.must_match(model, draft)


def test_first_tokens_and_padding_may_differ(tmp_path: Path) -> None:
    model = gguf(tmp_path / "m.gguf")
    tokens = ["x", *TOKENS[1:], *(f"padding{i}" for i in range(100))]
    drafting.must_match(model, gguf(tmp_path / "d.gguf", tokens=strings(tokens)))


@pytest.mark.integration
def test_a_server_whose_draft_model_is_never_asked_is_refused(
    smol_model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake that llama-server takes without a word: a draft model, and no kind of speculation."""

    def forgetful(*args: object, **kwargs: object) -> list[str]:
        command = llama_flags.flags(*args, **kwargs)  # type: ignore[arg-type]
        return command[: command.index("--spec-type")]

    monkeypatch.setattr(llama_server, "flags", forgetful)
    server = llama_server.launch(settings_for(tmp_path), replace(smol_model, draft=smol_model.path))
    with pytest.raises(StartupError, match=r"drafted none of 32 tokens[\s\S]*DRAFT_MODEL=none"):
        server.wait_ready()
    assert not server.child.alive


@pytest.mark.integration
def test_a_server_that_cannot_be_asked_is_no_traceback(llama_url: str) -> None:
    with pytest.raises(StartupError, match="fails its first call"):
        drafting.must_draft(f"{llama_url}/nowhere")


@pytest.mark.integration
@pytest.mark.parametrize("native", [False, True])
def test_a_draft_model_drafts_beside_embeddings(
    native: bool, smol_model: ModelFile, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    binary = request.getfixturevalue("native_llama") if native else None
    settings = settings_for(tmp_path, llama_server=binary)
    server = llama_server.start(settings, replace(smol_model, draft=smol_model.path))
    with httpx.Client(base_url=server.url, timeout=60) as client:
        body = {"prompt": "def fib(n):", "n_predict": 32, "temperature": 0}
        timings = client.post("/completion", json=body).json()["timings"]
        embedding = client.post("/embedding", json={"content": "word"})
    server.stop()
    assert timings["draft_n_accepted"] > 0.5 * timings["draft_n"] > 0  # it is its own draft model
    assert embedding.status_code == 200
