"""Whoever follows the operators' documents gets through: every block that needs nothing special is run.

The blocks of a document are one bash script, in a directory like a fresh clone, on ports of its own and with
the smallest model. What needs a network, a GPU or a cluster is marked so, and not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atlas.embedded.own_stack import free_ports
from atlas.models import ModelFile
from tests.support.doc_blocks import Block, blocks
from tests.support.stack_process import StackProcess, running

REPO = Path(__file__).parents[2]
WALKED = ("SETUP", "CONFIGURATION", "OPERATIONS", "TROUBLESHOOTING")
PATIENCE_S = 900  # on a busy machine
CLEANUP = "trap 'jobs -p | xargs -r kill 2>/dev/null; wait' EXIT\n"


def walked(name: str) -> list[Block]:
    return blocks(REPO / "docs" / f"{name}.md")


@pytest.mark.parametrize("name", WALKED)
def test_a_document_has_commands_that_are_run(name: str) -> None:
    assert any(not block.needs for block in walked(name))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with everything that the repository has, and nothing that a user made."""
    tracked = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    for name in {line.partition("/")[0] for line in tracked.splitlines()}:
        (tmp_path / name).symlink_to(REPO / name)
    return tmp_path


@pytest.mark.integration
@pytest.mark.parametrize("name", WALKED)
def test_its_commands_run(name: str, clone: Path, smol_model: ModelFile) -> None:
    port = free_ports()
    settings = {
        "MODEL_PATH": str(smol_model.path),
        "PORT": str(port),
        "SLOTS": "2",
        "THREADS": "1",
        "TASK_DEADLINE_SECONDS": "60",
    }
    with stack_for(name, clone, settings) as _:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", CLEANUP + script(walked(name), port)],
            cwd=clone,
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    log = clone / "up.log"
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{log.read_text() if log.exists() else ''}"


def script(found: list[Block], port: int) -> str:
    """The blocks that need nothing, asked of a stack on `port` and the four behind it."""
    text = "\n".join(block.text for block in found if not block.needs)
    return re.sub(r"localhost:84(\d\d)", lambda match: f"localhost:{port + int(match[1])}", text)


def environment(settings: dict[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    path = f"{Path(sys.executable).parent}:{inherited['PATH']}"
    ours = {f"ATLAS_{key}": value for key, value in settings.items()}
    return {**inherited, **ours, "PATH": path, "PYTHONPATH": str(REPO)}


@contextmanager
def stack_for(name: str, clone: Path, settings: dict[str, str]) -> Iterator[StackProcess | None]:
    """TROUBLESHOOTING is about a stack that is there, and a task that it had."""
    if name != "TROUBLESHOOTING":
        yield None
        return
    with running(clone, **settings) as stack:
        (clone / "problem.md").write_text("Print 1.\n")
        solve = ["atlas", "solve", "problem.md", "--policy", "A"]
        subprocess.run(solve, cwd=clone, env=environment(settings), timeout=PATIENCE_S, check=False)
        yield stack
        assert stack.stop(signal.SIGTERM) == 0
