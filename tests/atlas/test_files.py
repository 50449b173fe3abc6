"""Locks that the kernel frees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.files import take_lock


def test_a_lock_is_held_once_until_it_is_closed(tmp_path: Path) -> None:
    held = take_lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        take_lock(tmp_path / "lock")
    os.close(held)
    os.close(take_lock(tmp_path / "lock"))


def test_a_process_that_ends_frees_its_lock(tmp_path: Path) -> None:
    program = "import pathlib, sys; from atlas.files import take_lock; take_lock(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(tmp_path / "lock")]
    subprocess.run(command, check=True)
    assert (tmp_path / "lock").exists()
    os.close(take_lock(tmp_path / "lock"))


def test_a_place_that_cannot_be_written_is_not_taken_for_held(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take_lock(tmp_path / "none" / "lock")
