"""Private directories of the living stay, those of the dead go, and nobody else's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.scoring.private_directory import PrivateDirectory, remove_stale

PREFIX = "atlas-test-"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_goes_with_close(temporary: Path) -> None:
    made = PrivateDirectory.make(PREFIX)
    assert made.path.parent == temporary
    assert made.path.stat().st_mode & 0o077 == 0
    (made.path / "run").mkdir()
    made.close()
    made.close()
    assert list(temporary.iterdir()) == []


@pytest.mark.integration
def test_the_next_one_removes_what_a_killed_owner_left_and_not_what_a_living_one_holds(
    temporary: Path,
) -> None:
    code = (
        "import sys, tempfile, time\ntempfile.tempdir = sys.argv[1]\n"
        "from benchmark.scoring.private_directory import PrivateDirectory\n"
        f"made = PrivateDirectory.make({PREFIX!r})\n(made.path / 'log').write_text('x')\n"
        "print(made.path, flush=True)\ntime.sleep(60)"
    )

    def owner() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen([sys.executable, "-c", code, temporary], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (killed, left), (alive, held) = owner(), owner()
    with killed, alive:
        killed.kill()
        killed.wait()
        made = PrivateDirectory.make(PREFIX)
        assert not left.exists()
        assert (held / "log").read_text() == "x"
        alive.kill()
        alive.wait()
        remove_stale(PREFIX)
    assert [path for path in temporary.iterdir() if path.is_dir()] == [made.path]
    made.close()


def test_only_directories_of_this_user_are_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}file").write_text("x")
    theirs = temporary / f"{PREFIX}theirs"
    theirs.mkdir()
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    remove_stale(PREFIX)
    assert theirs.exists()
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    remove_stale(PREFIX)
    left = sorted(path.name for path in temporary.iterdir())
    assert left == [f"{PREFIX}file", f"{PREFIX}link", "elsewhere"]


def test_one_that_was_removed_while_it_was_being_made_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    honest, made = tempfile.mkdtemp, []

    def raced(**kwargs: str) -> str:
        made.append(honest(**kwargs))
        if len(made) == 1:
            remove_stale(PREFIX)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", raced)
    directory = PrivateDirectory.make(PREFIX)
    assert (str(directory.path), directory.path.is_dir()) == (made[1], True)
    directory.close()
