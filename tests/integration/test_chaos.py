"""`python -m tests.chaos` in short form: kills at random moments change nothing but the time it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]
WRONG = ["different", "lost", "duplicated", "repeated_model_calls", "left_running"]


def test_tasks_under_kills_end_as_they_do_in_peace() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--tasks", "4", "--kills", "6", "--seed", "0", "--json"]
    ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=400, check=False)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert list(figures) == ["tasks", "kills", "seed", *WRONG]
    assert (figures["tasks"], figures["kills"]) == (4, 6)
    assert [figures[name] for name in WRONG] == [0] * 5
