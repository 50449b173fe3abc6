"""The runner as a command: what it prints, its exit codes, and its resume after a real signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest
from runner_bench import INFRASTRUCTURE, four_problems, hasten, two_is_wrong

from atlas.config import Settings
from atlas.errors import StartupError
from atlas.policy import POLICIES
from benchmark import v3_runner
from benchmark.v3_runner import parse
from tests.support.scripted_gateway import Answer, ScriptedGateway

REPO = Path(__file__).parents[2]
RUNNER = REPO / "benchmark" / "v3_runner.py"

PROMISED = {
    *("dataset", "condition", "model", "n", "passed", "errors", "interval", "tokens_in", "tokens_out"),
    *("tokens_cached", "seconds", "overhead_share", "run_dir"),
}


hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
scripted = pytest.fixture(two_is_wrong)


def arguments(dataset: Path, tmp_path: Path, url: str, *more: str) -> list[str]:
    return ["--dataset", str(dataset), "--target", url, "--runs-dir", str(tmp_path / "runs"), *more]


def test_json_is_the_last_line_and_the_table_elsewhere(
    dataset: Path, tmp_path: Path, scripted: ScriptedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted.served() as url:
        assert v3_runner.main(arguments(dataset, tmp_path, url, "--json", "--limit", "1")) == 0
        out, err = capsys.readouterr()
        result = json.loads(out.splitlines()[-1])
        assert set(result) >= PROMISED
        assert (result["dataset"], result["condition"], result["n"]) == ("four.jsonl, first 1", "full", 1)
        assert "Wilson" in err
        assert v3_runner.main(arguments(dataset, tmp_path, url, "--limit", "1")) == 0
        assert "Wilson" in capsys.readouterr().out


def test_exit_codes(
    dataset: Path, tmp_path: Path, scripted: ScriptedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.script["one"] = [INFRASTRUCTURE["cancelled"]]
    with scripted.served() as url:
        assert v3_runner.main(arguments(dataset, tmp_path, url, "--limit", "1", "--run-id", "x")) == 3
        assert "1 tasks ended in error; go on with" in capsys.readouterr().err
        assert v3_runner.main(arguments(dataset, tmp_path, url, "--condition", "Z")) == 1
        assert capsys.readouterr().err.endswith(f"there are: {', '.join(POLICIES)}\n")
    for wrong in (["--limit", "0"], ["--seed", "-1"], ["--run-id", "../x"], ["--concurrency", "x"]):
        with pytest.raises(SystemExit) as left:
            v3_runner.main(wrong)
        assert left.value.code == 2


@pytest.mark.parametrize("command", [[str(RUNNER)], ["-m", "benchmark.v3_runner"]])
def test_help_teaches_by_example(command: list[str], tmp_path: Path) -> None:
    cwd = tmp_path if command[0] != "-m" else REPO
    done = subprocess.run([sys.executable, *command, "--help"], cwd=cwd, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python benchmark/v3_runner.py --condition A --limit 8" in done.stdout


def test_run_ids_are_made_up_once() -> None:
    first, second = parse([]).run_id, parse(["--dataset", "x/ä b.jsonl.gz", "--condition", "A"]).run_id
    assert first.startswith("bundled-full-s0-")
    assert second.startswith("b-A-s0-")
    assert parse([]).run_id != first
    for made in (first, second):
        assert v3_runner.RUN_ID.fullmatch(made)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_real_processes_resume_after_a_signal(
    dataset: Path, tmp_path: Path, scripted: ScriptedGateway, number: signal.Signals, code: int
) -> None:
    """The command itself, with the real grader, stopped while its third task runs."""
    held = True

    def hook(when: str, method: str, path: str) -> Answer | None:
        while held and when == "after" and path.endswith("/events") and len(scripted.tasks) == 3:
            time.sleep(0.02)
        return None

    scripted.hook = hook
    with scripted.served() as url:
        command = [sys.executable, str(RUNNER), *arguments(dataset, tmp_path, url, "--run-id", "r", "--json")]
        first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=_environment())
        deadline = time.monotonic() + 60
        while len(scripted.tasks) < 3 and time.monotonic() < deadline and first.poll() is None:
            time.sleep(0.02)
        first.send_signal(number)
        _, err = first.communicate(timeout=60)
        held = False
        assert first.returncode == code, err
        if code == 130:
            assert "interrupted; go on with:" in err
            assert "--run-id r" in err
        again = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=_environment()
        )
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    # The scripted programs print 1 or 2, which no hidden test asks for: they are honestly wrong.
    assert (result["n"], result["passed"], result["errors"]) == (4, 0, 0)
    assert scripted.began == {"one": 1, "two": 1, "three": 1, "four": 1}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}


@pytest.mark.parametrize("given", [["--api-key", "s3cret"], ["--api-key=s3cret"]])
def test_a_key_is_sent_and_never_printed(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: list[str | None] = []

    def refuse(settings: Settings, *_: object, **__: object) -> NoReturn:
        keys.append(settings.api_key)
        raise StartupError("no gateway")

    monkeypatch.setattr(v3_runner, "reach", refuse)
    assert v3_runner.main(["--runs-dir", str(tmp_path), *given, "--limit", "1"]) == 1
    assert keys == ["s3cret"]
    said = capsys.readouterr()
    assert "go on with:" in said.err
    assert "s3cret" not in said.err + said.out
    assert "--limit 1 --run-id" in said.err
