"""`python -m tests.chaos.runner` in short form: a runner killed at any moment ends with the same results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]


def test_a_runner_under_kills_ends_as_it_does_in_peace() -> None:
    command = [sys.executable, "-m", "tests.chaos.runner", "--tasks", "3", "--kills", "4", "--json"]
    ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert (figures["tasks"], figures["kills"]) == (3, 4)
    # The other two, of "grade" and "finish", come at another beginning where all was recorded before.
    assert {"wait", "write"} <= set(figures["phases"])
    names = list(figures)
    assert {name: figures[name] for name in names[names.index("different") :] if figures[name]} == {}
