"""`python3 benchmark/v3_runner.py` with a Python without packages goes on in the repository's venv."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import own_python

REPO = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with no more than the runner, whose Python of the system has no packages."""
    (tmp_path / "benchmark").mkdir()
    for name in ("__init__.py", "v3_runner.py", "own_python.py"):
        shutil.copyfile(REPO / "benchmark" / name, tmp_path / "benchmark" / name)
    return tmp_path


def called(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S leaves the packages of this venv out; the system's own Python is not on every machine that tests.
    command = [sys.executable, "-S", "benchmark/v3_runner.py", *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ATLAS_"))}
    return subprocess.run(command, cwd=checkout, env=clean, capture_output=True, text=True, timeout=60)


def test_it_goes_on_in_the_venv_with_the_same_words(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"; exit 3\n')
    python.chmod(0o755)
    ran = called(checkout, "--limit", "2", "a b")
    assert (ran.returncode, ran.stdout) == (3, "benchmark/v3_runner.py|--limit|2|a b|"), ran.stderr


@pytest.mark.parametrize(("version", "goes_on"), [((3, 9, 21), True), ((3, 10, 0), False)])
def test_a_python_that_is_too_old_will_not_do_whatever_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], goes_on: bool
) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    begun: list[list[str]] = []
    monkeypatch.setattr(own_python.os, "execve", lambda path, words, environment: begun.append(words))
    monkeypatch.setattr(own_python.sys, "version_info", version)
    if goes_on:
        with pytest.raises(SystemExit):  # only because this one came back
            own_python.ensure(tmp_path, ["v3_runner.py"])
    else:
        own_python.ensure(tmp_path, ["v3_runner.py"])
    assert begun == ([[str(python), "v3_runner.py"]] if goes_on else [])


def test_the_runner_can_be_read_by_the_oldest_python_of_a_system() -> None:
    for name in ("__init__.py", "v3_runner.py", "own_python.py"):
        ast.parse((REPO / "benchmark" / name).read_text(), feature_version=(3, 8))


def test_without_a_venv_it_says_what_makes_one(checkout: Path) -> None:
    ran = called(checkout)
    assert ran.returncode == 1
    assert "scripts/install.sh" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_venv_that_lacks_it_too_is_no_endless_loop(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    ran = called(checkout)
    assert (ran.returncode, "lacks it too" in ran.stderr) == (1, True)
