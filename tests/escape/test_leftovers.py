"""A short `python -m tests.escape` at every level; the long one is for `benchmark` days."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import StartupError
from atlas.executor import ExecuteResponse, Run, RunStatus
from services.sandbox import fork_server, slot
from services.sandbox.runner import Runner
from tests.escape import good, scene
from tests.escape.corpus import Attack
from tests.escape.mixture import plan

REPO = Path(__file__).parents[2]


@pytest.mark.integration
@pytest.mark.parametrize("level", ["namespaces", "pod"])
def test_nothing_is_wrong_escaped_or_left_after_a_mixture_with_kills(level: str):
    command = [sys.executable, "-m", "tests.escape", "--executions", "300", "--kills", "4", "--seed", "1"]
    done = subprocess.run(
        [*command, "--isolation", level, "--json"], cwd=REPO, capture_output=True, text=True, check=False
    )
    if "could not run" in done.stderr:
        pytest.skip(done.stderr[-500:])
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["wrong"], figures["escaped"], figures["kills"]) == (0, 0, 4), done.stderr
    assert not any(figures["left"].values()), figures["left"]
    assert figures["level"] == level
    assert figures["executions"] == figures["good"] + figures["attacks"] >= 300
    assert figures["restarts"] > 0
    assert done.returncode == 0


@pytest.mark.integration
@pytest.mark.parametrize("level", ["namespaces", "pod"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("victims", ["launcher", "slot servers", "all"])
def test_the_next_requests_are_served_whatever_was_killed_or_stopped(
    level: Any, number: signal.Signals, victims: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fork_server, "SLOT_S", 0.5)
    monkeypatch.setattr(slot, "START_S", 0.5)
    try:
        runner = Runner.start(jobs=2, isolation=level)
    except StartupError as error:
        pytest.skip(str(error))
    try:
        for program in good.both(random.Random(1)):
            assert not program.wrong(runner.execute(program.request))
        launchers, servers = scene.launchers(), scene.slot_servers()
        for process in {"launcher": launchers, "slot servers": servers, "all": launchers + servers}[victims]:
            process.send_signal(number)
        for seed in range(4):
            for program in good.both(random.Random(seed)):
                assert not program.wrong(runner.execute(program.request))
    finally:
        runner.close()


def test_a_plan_is_drawn_from_its_seed_and_has_both():
    assert plan(500, 3) == plan(500, 3) != plan(500, 4)
    kinds = {type(item) for item in plan(500, 3)}
    assert kinds == {good.Good, Attack}


def test_a_good_program_with_another_answer_is_wrong():
    program = good.draw(random.Random(5))
    right = tuple(Run(status=RunStatus.OK, output=text) for text in program.outputs)
    assert not program.wrong(ExecuteResponse(runs=right, isolation="x"))
    off = (*right[:-1], Run(status=RunStatus.OK, output="off"))
    assert program.wrong(ExecuteResponse(runs=off, isolation="x"))
    failed = tuple(Run(status=RunStatus.INFRASTRUCTURE_ERROR, output=text) for text in program.outputs)
    assert program.wrong(ExecuteResponse(runs=failed, isolation="x"))
