"""The commands on a real stack with a real model, as a user would type them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from atlas.embedded.own_stack import free_ports
from atlas.models import ModelFile

pytestmark = pytest.mark.integration
REQUEST = {
    "problem": {
        "statement": "Read two integers a and b from one line and print their sum.",
        "examples": [{"input": "1 2\n", "output": "3\n"}],
    },
    "policy": {"name": "small", "k": 2, "max_tokens": 48},
}


def atlas(directory: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"ATLAS_{key}": str(value) for key, value in settings.items()}
    command = [sys.executable, "-m", "atlas.cli", *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_solve_starts_a_stack_of_its_own_and_leaves_nothing_but_the_journal(
    tmp_path: Path, smol_model: ModelFile
) -> None:
    (tmp_path / "p.json").write_text(json.dumps(REQUEST))
    settings = {"MODEL_PATH": smol_model.path, "PORT": free_ports(), "DATA_DIR": tmp_path / "data"}
    solved = atlas(tmp_path, "solve", "p.json", "--json", **settings)
    assert solved.returncode in (0, 3, 4), solved.stderr
    view = json.loads(solved.stdout)
    assert view["usage"]["tokens_out"] > 0
    assert "starting the stack for this run" in solved.stderr.splitlines()[0]
    assert solved.stderr.rstrip().endswith(f"task {view['id']}")
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert not left
    status = atlas(tmp_path, "status", **settings)
    assert status.returncode == 1
    assert "atlas up" in status.stdout


def test_the_doctor_finds_all_there_where_the_stack_can_run(tmp_path: Path, smol_model: ModelFile) -> None:
    settings = {"MODEL_PATH": smol_model.path, "PORT": free_ports(), "DATA_DIR": tmp_path / "data"}
    examined = atlas(tmp_path, "doctor", "--full", "--json", **settings)
    assert examined.returncode == 0, examined.stdout
    checks = {check["name"]: check["state"] for check in json.loads(examined.stdout)["checks"]}
    assert checks["model"] == checks["sandbox"] == "ok"
