"""`python -m tests.chaos.ablation` in short form: killed at any moment, it ends with the same results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]


def test_an_ablation_under_kills_ends_as_it_does_in_peace() -> None:
    command = [sys.executable, "-m", "tests.chaos.ablation", "--tasks", "2", "--kills", "2", "--json"]
    ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert (figures["tasks"], figures["runs"], figures["kills"]) == (8, 4, 2)
    names = list(figures)
    assert {name: figures[name] for name in names[names.index("different") :] if figures[name]} == {}
