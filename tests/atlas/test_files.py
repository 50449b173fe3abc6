"""Locks that the kernel frees, files that are whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.files import take_lock, write_whole


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


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_whole_and_keeps_no_other_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    path.chmod(0o666)
    (tmp_path / ".state.json.new").write_text("left behind by a kill")
    write_whole(path, "new ü\n", mode, owner=(os.getuid(), os.getgid()))
    assert path.read_text(encoding="utf-8") == "new ü\n"
    assert path.stat().st_mode & 0o777 == mode
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
