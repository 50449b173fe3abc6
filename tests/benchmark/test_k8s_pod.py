"""The two containers' first processes: what counts as an answer, and that the second one ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmark import v3_runner
from benchmark.k8s import pod


@pytest.mark.parametrize(
    ("code", "answered"), [(0, True), (1, True), (2, True), (3, True), (130, False), (137, False)]
)
def test_an_answer_is_written_down_and_an_interruption_is_not(
    code: int, answered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v3_runner, "main", lambda arguments: code)
    done, said = tmp_path / "done", tmp_path / "said"
    assert pod.runner(["--limit", "1"], done, said) == (0 if answered else code)
    assert done.exists() is answered
    assert (said.read_text() if said.exists() else None) == (str(code) if answered else None)


def test_wrong_arguments_are_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pod.runner(["--no-such-option"], tmp_path / "done", tmp_path / "said") == 0
    assert (tmp_path / "said").read_text() == "2"


def test_the_arguments_reach_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(pod, "runner", lambda arguments, done: seen.append((arguments, done)) or 0)
    assert pod.main(["runner", "--done", str(tmp_path), "--", "--limit", "2", "--json"]) == 0
    assert seen == [(["--limit", "2", "--json"], tmp_path)]


class Child(subprocess.Popen[bytes]):
    """Sleeps in the executor's place."""

    seconds = 60.0

    def __init__(self, command: list[str]) -> None:
        assert command[2:] == ["services.sandbox.executor", "--jobs", "1"]
        super().__init__([sys.executable, "-S", "-c", f"import time; time.sleep({self.seconds})"])


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod.subprocess, "Popen", Child)
    monkeypatch.setattr(pod.signal, "signal", lambda *_: None)
    monkeypatch.setattr(pod, "POLL_S", 0.01)


@pytest.mark.usefixtures("children")
def test_the_executor_ends_with_the_runner(tmp_path: Path) -> None:
    done = tmp_path / "done"
    timer = threading.Timer(0.2, done.touch)
    timer.start()
    assert pod.executor(["--jobs", "1"], done) == 0
    timer.join()
    assert pod.executor(["--jobs", "1"], done) == 0, "started again after the end"


@pytest.mark.usefixtures("children")
def test_an_executor_that_ends_before_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Child, "seconds", 0.0)
    assert pod.executor(["--jobs", "1"], tmp_path / "done") != 0
