"""The same attacks without a sandbox: there they succeed, and the witnesses say so.

So a witness that sees nothing in `test_attacks.py` would have seen something. Each runs as the user the
sandbox's runs have, in an ordinary interpreter. Dangerous ones (bombs, `kill -1`) are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.escape.corpus import ATTACKS, MACHINE, NO, PROGRAMS, Attack
from tests.escape.scene import VARIABLE, Scene, adopt_orphans, as_user, kill_orphans, orphans

pytestmark = pytest.mark.integration

CONTROLS = [attack for attack in ATTACKS if attack.control != NO]
WAIT_S = 3.0


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that the runs' user may start: ours may lie in a directory of root's."""
    for path in (sys.executable, shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")):
        if path is None:
            continue
        try:
            subprocess.run([path, "-c", ""], check=True, cwd="/", **as_user())  # type: ignore[call-overload]
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    pytest.skip("no Python that the sandbox's user may start")


@pytest.fixture
def scene() -> Iterator[Scene]:
    adopt_orphans()
    with Scene() as made:
        yield made
        kill_orphans()


def outside(attack: Attack, python: str, scene: Scene) -> str:
    """What the attack prints in an ordinary process."""
    programs = scene.directory / "programs"  # the repository may be out of that user's reach
    shutil.copytree(PROGRAMS, programs, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("naive_judge.py"), programs)
    program = programs / f"{attack.name}.py"
    command = [python, "-B", str(program)]
    if attack.witness == "verdict":
        command = [python, "-B", str(programs / "naive_judge.py"), str(program), "answer-1"]
    root = os.open("/", os.O_RDONLY)
    done = subprocess.run(
        ["sh", "-c", '"$@"; true', "sh", *command],  # some attack their parent: a shell will do
        pass_fds=[root],  # what a careless executor would let its children inherit
        input=scene.targets,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=scene.directory / "empty",
        env={VARIABLE: scene.secret, "PATH": os.defpath, "PYTHONHASHSEED": "0"},
        **as_user(),  # type: ignore[call-overload]
    )
    os.close(root)
    shutil.rmtree(programs)
    return done.stdout


def witnessed(attack: Attack, output: str, scene: Scene) -> bool:
    """Whether the attack's witness saw it succeed."""
    if attack.witness == "verdict":
        return output.splitlines()[-1:] == ["accepted"]
    if attack.witness == "secret":
        return scene.secret in output
    if attack.witness == "said":
        return "ESCAPED" in output
    if attack.witness == "processes":
        return bool(orphans()) and _soon(lambda: "files" in scene.broken())
    return _soon(lambda: attack.witness in scene.broken())


def _soon(true) -> bool:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("attack", CONTROLS, ids=lambda attack: attack.name)
def test_without_a_sandbox_the_attack_succeeds_and_its_witness_says_so(
    attack: Attack, python: str, scene: Scene
):
    output = outside(attack, python, scene)
    seen = witnessed(attack, output, scene)
    if attack.control == MACHINE and not seen:
        pytest.skip(f"this machine refuses it to everyone: {output[-200:]}")
    assert seen, output
