"""The atlas command: what it shows, and that every error is one message and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.cli import app
from atlas.cli_progress import PullProgress


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_help_teaches_by_example() -> None:
    assert "atlas models pull" in run("--help")[1]
    assert "ATLAS_PORT=9000 atlas up" in run("up", "--help")[1]
    for command in ("list", "pull", "verify"):
        assert f"  atlas models {command}" in run("models", command, "--help")[1]


def test_list_marks_the_model_in_use(tmp_path: Path) -> None:
    code, out, _ = run("models", "list")
    assert code == 0
    assert all(name in out for name in CATALOGUE)
    assert any(line.split()[:2] == ["*", "qwen2.5-coder-0.5b"] for line in out.splitlines())
    assert str(tmp_path / "data" / "models") in out


def test_a_wrong_setting_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "atlas.conf").write_text("PROT=1\n")
    code, out, err = run("models", "list")
    assert (code, out) == (2, "")
    assert err.strip() == "Configuration error: atlas.conf line 1: unknown key PROT; did you mean PORT?"


def test_a_missing_model_exits_with_1() -> None:
    code, _, err = run("models", "verify", "smollm2-135m")
    assert code == 1
    assert err.startswith("Model file problem: ")
    assert "Traceback" not in err


def test_verify_prints_the_hash_of_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("ATLAS_MODEL_PATH", "own.gguf")
    code, out, _ = run("models", "verify")
    assert code == 0
    assert out.split()[:2] == ["not", "pinned"]


def test_pull_fetches_the_draft_model_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[str] = []

    def pull(name: str, models_dir: Path, progress: PullProgress) -> Path:
        progress.message(f"[fetching] {name}")
        progress.bytes(1, 2)
        pulled.append(name)
        return models_dir / name

    monkeypatch.setattr(models, "pull", pull)
    code, out, err = run("models", "pull", "qwen3-14b")
    assert code == 0
    assert pulled == ["qwen3-14b", "qwen3-0.6b"]
    assert str(tmp_path / "data" / "models" / "qwen3-14b") in out.replace("\n", "")
    assert "[fetching] qwen3-14b" in err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from atlas.cli import app\n"
        "heavy = {'pydantic', 'redis', 'httpx', 'fastapi', 'huggingface_hub', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
