"""What the documents tell people to type is right: commands, options, bodies, paths and links exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from atlas.api import SubmitRequest
from atlas.cli import app as cli
from atlas.openai_api import ChatRequest
from benchmark.v3_runner import parse
from services.gateway.app import create
from tests.support.doc_blocks import NEEDS, blocks

REPO = Path(__file__).parents[1]
DOCUMENTS = sorted([REPO / "README.md", *(REPO / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)

BLOCKS = {document: blocks(document) for document in DOCUMENTS}
# `atlas` is also the namespace that these are told.
_OTHERS = ("kubectl ", "helm ")
LINES = [
    line
    for found in BLOCKS.values()
    for block in found
    for line in block.text.splitlines()
    if not line.startswith(_OTHERS)
]


def words(program: str) -> list[list[str]]:
    """The arguments of every line that calls `program`."""
    calls = [line for line in LINES if line == program or line.startswith(program + " ")]
    return [shlex.split(call, comments=True)[len(program.split()) :] for call in calls]


# `atlas` and what follows, also behind variables, in pipes and in $(...): up to what is not its arguments.
_ATLAS = re.compile(r"(?:^|[\s(])atlas ((?:[^|;#>)$'\s][^|;#>)$\s]*\s*)+)")
ATLAS_CALLS = [call.split() for line in LINES for call in _ATLAS.findall(line)]


def test_there_is_something_to_check() -> None:
    assert len(ATLAS_CALLS) > 40
    assert ["keys", "create", "ci", "--days", "90"] in ATLAS_CALLS, "also inside $(...)"
    assert words("python benchmark/v3_runner.py")
    assert any(line.startswith("curl") for line in LINES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_block_of_commands_is_read(document: Path) -> None:
    text = document.read_text()
    assert len(BLOCKS[document]) == text.count("\n```bash"), "a block whose first line is not understood"
    assert {block.needs for block in BLOCKS[document]} <= {"", *NEEDS}


@pytest.mark.parametrize("arguments", ATLAS_CALLS, ids=" ".join)
def test_atlas_commands_and_their_options_exist(arguments: list[str]) -> None:
    names = [word for word in arguments if word.islower() and not word.startswith("-")]
    result = CliRunner().invoke(cli, [*names, "--help"])
    assert result.exit_code == 0, result.output
    command = typer.main.get_command(cli)
    words = iter(arguments)
    while subcommands := getattr(command, "commands", None):
        command = subcommands[next(words)]
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-") and word != "-"} <= known


def test_generated_documents_say_what_the_code_says() -> None:
    command = [sys.executable, "scripts/generate_docs.py", "--check"]
    environment = {**os.environ, "COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    checked = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_every_command_teaches_by_example() -> None:
    text = (REPO / "docs" / "CLI.md").read_text()
    sections = re.split(r"^#+ (atlas .+)$", text, flags=re.MULTILINE)[1:]
    assert len(sections) > 40
    for path, body in zip(sections[::2], sections[1::2], strict=True):
        block = _BLOCK.search(body)
        assert block, f"{path} has no example"
        assert f"{path}" in block.group(1), path


def test_every_route_is_described() -> None:
    text = (REPO / "docs" / "API.md").read_text()
    schema = create().openapi()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            assert f"\n### {method.upper()} {path}\n" in text
            assert route.get("description"), (method, path)
            assert route.get("tags"), (method, path)
    for anchor in re.findall(r"\]\(#([\w-]+)\)", text):
        headings = {
            re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)
        }
        assert anchor in headings


@pytest.mark.parametrize("arguments", words("python benchmark/v3_runner.py"), ids=" ".join)
def test_runner_options_exist(arguments: list[str]) -> None:
    parse(arguments)


def test_scripts_exist_and_can_run() -> None:
    called = [line.removeprefix("sudo ").split() for line in LINES]
    scripts = {words[0] for words in called if words and words[0].startswith("./scripts/")}
    assert {"./scripts/demo.sh", "./scripts/test.sh", "./scripts/install.sh"} <= scripts
    for script in scripts:
        assert os.access(REPO / script, os.X_OK), script


@pytest.mark.parametrize("name", ["install", "verify-install", "uninstall"])
def test_options_of_the_installation_exist(name: str) -> None:
    script = f"./scripts/{name}.sh"
    calls = [line for line in LINES if line.removeprefix("sudo ").startswith(script)]
    assert calls
    options = {word for call in calls for word in shlex.split(call, comments=True) if word.startswith("-")}
    told = (REPO / "docs" / "CLI.md").read_text()
    section = told.partition(f"### atlas k3s {name.removesuffix('-install')}")[2].partition("\n### ")[0]
    assert all(f"`{option}" in section or f"{option}," in section for option in options), options


BODIES: dict[str, type[BaseModel]] = {"/v1/tasks": SubmitRequest, "/v1/chat/completions": ChatRequest}


def test_rest_examples_are_served() -> None:
    text = "\n".join(d.read_text() for d in DOCUMENTS)
    routes = {
        re.sub(r"\{(\w+)\}", lambda m: f"{m[1].upper()}_ID", path) for path in create().openapi()["paths"]
    }
    for path in re.findall(r"localhost:8400(/v1/[\w/-]+)", text):
        assert path in routes, path
    sent = re.findall(r"localhost:8400(/v1/\S+) [^\n]*-d '(\{.*?\})'", text, re.DOTALL)
    assert {path for path, _ in sent} == BODIES.keys()
    for path, body in sent:
        BODIES[path].model_validate_json(body)


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
