"""The runner's own stack: it cannot start, another begins it, it ends during the run."""

from __future__ import annotations

import asyncio
import fcntl
import io
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from runner_bench import FakeGrader, four_problems, hasten, options_for, run, two_is_wrong

from atlas import client
from atlas.checkers import Checker
from atlas.config import Settings, load
from atlas.embedded import own_stack
from atlas.errors import BadInput, StartupError
from benchmark.scoring.grader import Grade
from benchmark.tasks import Task
from benchmark.v3_runner import Options, parse, run_benchmark
from tests.support.scripted_gateway import Answer, ScriptedGateway

hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
options = pytest.fixture(options_for)
scripted = pytest.fixture(two_is_wrong)


def test_a_stack_that_cannot_start_is_quoted(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --target and gateway the stack is started: here by a command that fails."""
    spawn = own_stack.Child.spawn
    command: list[str] = []
    environment: dict[str, str] = {}

    def failing(name: str, argv: list[str], run_dir: Path, env: dict[str, str]) -> object:
        command.extend(argv)
        environment.update(env)
        return spawn(name, [sys.executable, "-c", "print('no GPU here'); raise SystemExit(3)"], run_dir)

    monkeypatch.setattr(own_stack.Child, "spawn", failing)
    settings = Settings(port=1, data_dir=tmp_path)
    options = parse(["--dataset", str(dataset), "--config", str(tmp_path / "atlas.conf")])
    with pytest.raises(
        StartupError, match=r"(?s)the stack did not start: atlas-up exited with 3.*no GPU here"
    ):
        asyncio.run(run_benchmark(options, settings, Console(file=io.StringIO()), grader=FakeGrader()))
    assert command[1:] == ["-m", "atlas.cli", "up", "--pull"]
    assert load(environ=environment) == settings
    with pytest.raises(BadInput, match="no policy 'Z'"):
        asyncio.run(run_benchmark(replace(options, condition="Z"), settings, Console(file=io.StringIO())))


def test_a_stack_begun_by_another_at_the_same_time_is_used(
    options: Options, scripted: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = own_stack.Child.spawn

    def failing(name: str, argv: list[str], run_dir: Path, **_: object) -> object:
        child = spawn(name, [sys.executable, "-c", "raise SystemExit('another stack')"], run_dir)
        child.popen.wait()
        return child

    probes = 0

    def refused(*_: str) -> Answer | None:
        nonlocal probes
        probes += 1
        if probes < 4:  # once before the start, then while the other stack, which has the lock, loads
            raise httpx.ConnectError("refused")
        return None

    monkeypatch.setattr(own_stack.Child, "spawn", failing)
    scripted.hook = refused
    settings = Settings(data_dir=tmp_path)
    settings.run_dir.mkdir()
    console = Console(file=io.StringIO())
    work = run_benchmark(
        replace(options, target=None),
        settings,
        console,
        transport=scripted.transport(),
        grader=FakeGrader(),
    )
    with (settings.run_dir / "stack.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert asyncio.run(work).n == 4


def test_a_stack_that_ends_during_the_run_stops_it(
    options: Options, scripted: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = own_stack.Child.spawn("atlas-up", [sys.executable, "-c", "print('out of memory')"], tmp_path)

    class Waiting(FakeGrader):
        async def grade(self, task: Task, code: str | None, checker: Checker = "official") -> Grade:
            await asyncio.Event().wait()
            raise AssertionError

    stack = own_stack.Stack(gateway=client.Gateway("http://gateway"), child=child)
    real = own_stack.Stack.ended
    monkeypatch.setattr(own_stack.Stack, "ended", lambda _: real(stack))
    with pytest.raises(StartupError, match=r"(?s)has ended: atlas-up exited with 0.*out of memory"):
        run(options, scripted, Waiting())
