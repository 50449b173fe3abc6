"""The scratch directory: what was done is not done again, what failed is told, what is not ours stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atlas.errors import ConfigError, StartupError
from tests.cluster.__main__ import remove
from tests.cluster.scratch import Scratch, key_of, must_have


def test_a_step_is_done_once_for_a_key_and_again_for_another(tmp_path: Path) -> None:
    scratch, done = Scratch(tmp_path), []
    for key in ("a", "a", "b", "a"):
        scratch.once("step", key, lambda key=key: done.append(key))  # type: ignore[misc]
    assert done == ["a", "b", "a"]


def test_a_step_that_failed_is_done_again(tmp_path: Path) -> None:
    scratch, tries = Scratch(tmp_path), []

    def fails_first() -> None:
        tries.append(1)
        if len(tries) == 2:
            raise StartupError("no")

    scratch.once("step", "old", fails_first)
    with pytest.raises(StartupError):
        scratch.once("step", "new", fails_first)
    scratch.once("step", "old", fails_first)  # what it made may be half of the new one
    assert len(tries) == 3


def test_a_command_that_fails_is_told_with_the_end_of_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('so it ended'); sys.exit(3)"]
    with pytest.raises(StartupError, match=r"exit code 3[\s\S]*so it ended"):
        Scratch(tmp_path).run(command, name="it")
    with pytest.raises(StartupError, match="no-such-program is not installed"):
        Scratch(tmp_path).run(["no-such-program"], name="it")


def test_a_key_changes_with_what_files_hold_and_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    keys = [key_of([folder])]
    (folder / "a").write_text("2")
    keys.append(key_of([folder]))
    (folder / "a").rename(folder / "b")
    keys += [key_of([folder]), key_of([folder], "word")]
    assert len(set(keys)) == 4
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "b").write_text("3")
    assert key_of([folder]) == keys[2]


def test_missing_programs_are_named_with_their_packages() -> None:
    must_have({"sh": "dash"})
    with pytest.raises(StartupError, match=r"apt-get install --no-install-recommends one two$"):
        must_have({"sh": "dash", "no-such-program": "two", "nor-such": "one"})


def test_only_what_it_made_is_removed(tmp_path: Path) -> None:
    precious = tmp_path / "home"
    precious.mkdir()
    with pytest.raises(ConfigError, match="is not a directory that"):
        remove(precious)
    assert precious.exists()
    Scratch(precious).once("step", "key", lambda: None)
    remove(precious)
    assert not precious.exists()
    remove(precious)
