"""`atlas doctor --model`: what it prints, and what docs/MEMORY.md says it prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from test_model_size import TENSORS, USUAL, gguf
from typer.testing import CliRunner, Result

from atlas.cli import app
from atlas.config import load

DOCUMENT = Path(__file__).parents[2] / "docs" / "MEMORY.md"


@pytest.fixture(autouse=True)
def nothing_is_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_the_document_shows_what_is_printed() -> None:
    command, shown = re.findall(
        r"^```(?:bash|text)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )[:2]
    result = doctor(*shlex.split(command)[2:])
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == shown.splitlines()


def test_its_settings_are_settings(tmp_path: Path) -> None:
    result = doctor("--model", "qwen3-14b", "--vram", "16")
    lines = re.findall(r"^  ([A-Z_]+=.*)$", result.stdout, re.MULTILINE)
    (tmp_path / "atlas.conf").write_text("\n".join(lines))
    settings = load(tmp_path / "atlas.conf", {})
    assert (settings.model, settings.draft_model, settings.gpu_device) == ("qwen3-14b", "qwen3-0.6b", 0)
    assert (settings.context_tokens, settings.slots, settings.kv_type) == (32_768, 4, "q8_0")


def test_what_does_not_fit_fails_and_says_what_would() -> None:
    asked = ["--model", "qwen3-14b", "--vram", "16", "--context", "65536", "--draft", "qwen3-0.6b"]
    result = doctor(*asked)
    assert result.exit_code == 1
    assert "It does not fit. What makes it fit:" in result.stdout
    helpful = re.findall(r"→ .*?: (--.*)", result.stdout)
    assert len(helpful) == 3
    for change in helpful:
        assert doctor(*asked, *change.split()).exit_code == 0, change


def test_json() -> None:
    found = json.loads(doctor("--model", "qwen3-14b", "--vram", "16", "--json").stdout)
    assert found["fits"]
    assert found["bytes"] == sum(part["model"] + part["draft"] for part in found["parts"])
    assert found["bytes"] <= found["budget_bytes"] == 16 << 30
    assert found["settings"]["KV_TYPE"] == "q8_0"
    assert len(found["largest_contexts"]) == 6
    small = json.loads(doctor("--model", "qwen3-14b", "--vram", "8", "--json").stdout)
    assert not small["fits"]
    assert small["advice"]
    assert small["settings"] == {}


def test_a_file_of_ones_own_and_its_doubts(tmp_path: Path) -> None:
    path = gguf(tmp_path / "own.gguf", "qwen3moe", TENSORS, **USUAL, expert_used_count=2)
    result = doctor("--model", str(path), "--ram", "2")
    assert result.exit_code == 0
    assert "own: 6 layers, trained on 2,048 tokens (its header)" in result.stdout
    assert "note: a mixture of experts" in result.stdout
    assert f"MODEL_PATH={path}" in result.stdout
    assert "GPU_DEVICE" not in result.stdout


def test_the_batch_is_that_of_the_server_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def batch(*arguments: str) -> str:
        return re.findall("batches of ([0-9]+)", doctor("--model", "qwen3-0.6b", *arguments).stdout)[0]

    assert (batch("--vram", "8"), batch("--ram", "8")) == ("512", "2048")
    monkeypatch.setenv("ATLAS_GPU_DEVICE", "0")
    assert batch("--vram", "8") == "2048", "the settings have xllamacpp on the GPU"
    monkeypatch.setenv("ATLAS_LLAMA_SERVER", "/b/llama-server")
    assert (batch("--vram", "8"), batch("--ram", "8")) == ("512", "512")


def test_without_a_model_it_is_that_of_the_settings_and_without_an_amount_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_MODEL", "qwen3-0.6b")
    assert doctor("--vram", "8").stdout.startswith("qwen3-0.6b:")
    monkeypatch.setattr("atlas.cli_memory.memory_available", lambda: 3 << 30)
    assert json.loads(doctor("--model", "qwen3-0.6b", "--json").stdout)["budget_bytes"] == 3 << 30


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--slots", "2"], 2, "go with --model, --vram or --ram"),
        (["--vram", "8", "--ram", "8"], 2, "either on the GPU"),
        (["--model", "nope", "--vram", "8"], 1, "no model 'nope' in the catalogue"),
        (["--model", "nope.gguf", "--vram", "8"], 1, "header cannot be read"),
        (["--model", "smollm2-135m", "--vram", "8"], 1, "atlas models pull smollm2-135m"),
        (["--model", "qwen3-14b", "--vram", "inf"], 2, "--vram"),
        (["--model", "qwen3-14b", "--ram", "0"], 2, "--ram"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments: list[str], code: int, message: str) -> None:
    result = doctor(*arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())


def test_a_draft_with_other_tokens_is_refused(tmp_path: Path) -> None:
    path = gguf(tmp_path / "own.gguf", "qwen2", TENSORS, **USUAL)
    result = doctor("--model", "qwen3-14b", "--vram", "16", "--draft", str(path))
    assert result.exit_code == 2
    assert "own cannot draft for qwen3-14b" in result.output
