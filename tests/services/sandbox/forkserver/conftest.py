import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Child = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """Runs a program, in a directory of its own, in a Python that can import the fork server's modules."""

    def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *args]
        environment = {"PYTHONPATH": str(Path(__file__).parents[4]), "OPENBLAS_NUM_THREADS": "2"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run
