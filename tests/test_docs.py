"""What the documents tell people to type is right: commands, options, bodies, paths and links exist."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atlas.api import SubmitRequest
from atlas.cli import app as cli
from benchmark.v3_runner import parse
from services.gateway.app import create

REPO = Path(__file__).parents[1]
DOCUMENTS = sorted([REPO / "README.md", *(REPO / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


LINES = [
    line
    for document in DOCUMENTS
    for block in _BLOCK.findall(document.read_text())
    for line in block.splitlines()
]


def words(program: str) -> list[list[str]]:
    """The arguments of every line that calls `program`."""
    calls = [line for line in LINES if line == program or line.startswith(program + " ")]
    return [shlex.split(call, comments=True)[len(program.split()) :] for call in calls]


def test_there_is_something_to_check() -> None:
    assert words("atlas")
    assert words("python benchmark/v3_runner.py")
    assert any(line.startswith("curl") for line in LINES)


@pytest.mark.parametrize("arguments", words("atlas"), ids=" ".join)
def test_atlas_commands_exist(arguments: list[str]) -> None:
    names = [word for word in arguments if word.islower() and not word.startswith("-")]
    result = CliRunner().invoke(cli, [*names, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("arguments", words("python benchmark/v3_runner.py"), ids=" ".join)
def test_runner_options_exist(arguments: list[str]) -> None:
    parse(arguments)


def test_scripts_exist_and_can_run() -> None:
    scripts = {line.split()[0] for line in LINES if line.startswith("./scripts/")}
    assert {"./scripts/demo.sh", "./scripts/test.sh"} <= scripts
    for script in scripts:
        assert os.access(REPO / script, os.X_OK), script


def test_rest_examples_are_served() -> None:
    text = "\n".join(d.read_text() for d in DOCUMENTS)
    routes = {getattr(route, "path", "").replace("{task}", "TASK_ID") for route in create().routes}
    for path in re.findall(r"localhost:8400(/v1/[\w/-]+)", text):
        assert path in routes, path
    for body in re.findall(r"-d '(\{.*?\})'", text, re.DOTALL):
        SubmitRequest.model_validate_json(body)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_rooms_that_are_named_exist(document: Path) -> None:
    """`atlas/x.py` and the like in running text are real paths."""
    for target in re.findall(
        r"`((?:atlas|services|benchmark|scripts|tests)/[\w/.-]+)`", document.read_text()
    ):
        assert (REPO / target).exists(), target
