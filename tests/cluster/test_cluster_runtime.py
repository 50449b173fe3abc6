"""What is changed of a container before runc starts it, and which file that is."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import runtime

HARD = 4096


def limit(hard: int, soft: int | None = None) -> dict[str, object]:
    return {"type": "RLIMIT_NOFILE", "hard": hard, "soft": hard if soft is None else soft}


@pytest.fixture
def fixed_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, HARD))


@pytest.mark.usefixtures("fixed_limit")
def test_limits_are_lowered_to_what_may_be_set_and_never_raised() -> None:
    assert runtime.lowered([limit(HARD + 1)]) == [limit(HARD)]
    assert runtime.lowered([limit(HARD + 1, 5)]) == [limit(HARD, 5)]
    assert runtime.lowered([limit(7, 5)]) == [limit(7, 5)]


def test_without_a_limit_of_its_own_nothing_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, resource.RLIM_INFINITY))
    assert runtime.lowered([limit(2**40)]) == [limit(2**40)]


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("--root /r --log /l create --bundle /b --pid-file /p ID", "/b/config.json"),
        ("--root=/r run --bundle=/b ID", "/b/config.json"),
        ("create -b /b ID", "/b/config.json"),
        ("--log /l exec --process /tmp/p.json --detach ID", "/tmp/p.json"),
        ("exec -p /tmp/p.json ID", "/tmp/p.json"),
        ("--root /r kill --all ID 9", None),
        ("start ID", None),
    ],
)
def test_the_file_that_describes_the_process(words: str, file: str | None) -> None:
    found = runtime.described(words.split())
    assert (None if found is None else str(found)) == file


@pytest.mark.parametrize("what", ["create", "exec"])
def test_it_becomes_runc_with_the_same_arguments(what: str, tmp_path: Path) -> None:
    runc, said = tmp_path / "runc", tmp_path / "said"
    runc.write_text(f'#!/bin/sh\necho "$@" > {said}\n')
    runc.chmod(0o755)
    process = {"args": ["sh"], "rlimits": [limit(2**60)]}
    path = tmp_path / ("process.json" if what == "exec" else "config.json")
    path.write_text(json.dumps(process if what == "exec" else {"process": process, "root": {"path": "r"}}))
    rest = [what, *(["--process", str(path)] if what == "exec" else ["--bundle", str(tmp_path)]), "ID"]
    subprocess.run([sys.executable, "-I", runtime.__file__, str(runc), *rest], check=True, env=os.environ)
    assert said.read_text().split() == rest
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = json.loads(path.read_text())
    kept = kept if what == "exec" else kept["process"]
    assert kept == {"args": ["sh"], "rlimits": runtime.lowered([limit(2**60)])}
    assert most == resource.RLIM_INFINITY or kept["rlimits"][0]["hard"] == most
