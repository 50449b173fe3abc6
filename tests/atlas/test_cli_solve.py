"""`atlas solve`: the program on stdout and nothing else, the evidence, and an exit code for each end."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from atlas.api import SubmitRequest, TaskView
from atlas.cli import app
from atlas.cli_solve import exit_code
from atlas.cli_story import Stages
from atlas.errors import BadInput
from atlas.events import Entry
from atlas.problem_file import request_of
from tests.support.small_stack import SmallStack, program, small_stack

STATEMENT = "# Double\n\nRead a number and print its double.\n"
RIGHT = "print(int(input()) * 2)\n"


@pytest.fixture
def stack(redis_url: str) -> Iterator[SmallStack]:
    with small_stack(redis_url) as running:
        yield running


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("double.md").write_text(STATEMENT)
    for name, text in (("1.in", "2\n"), ("1.out", "4\n"), ("2.in", "5\n"), ("2.out", "10\n")):
        Path(name).write_text(text)


EXAMPLES = ("--example", "1.in", "1.out", "--example", "2.in", "2.out")


def solve(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["solve", *arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_stdout_is_the_program_and_stderr_the_evidence(stack: SmallStack) -> None:
    code, out, err = solve("double.md", *EXAMPLES, "--policy", "A", "--target", stack.url)
    assert (code, out) == (4, RIGHT), "policy A runs nothing: not known to pass"
    assert err.startswith("c0, not run on the 2 public examples; confidence 0.")
    code, out, err = solve("double.md", *EXAMPLES, "--target", stack.url)
    assert (code, out) == (0, RIGHT)
    assert err.startswith("c0 passed 2 of 2 public examples; confidence 0.")
    assert len(err.splitlines()) == 1, "off a terminal no stages are shown"


def test_a_statement_without_examples_on_stdin(stack: SmallStack) -> None:
    code, out, err = solve("-", "--target", stack.url, stdin=STATEMENT)
    assert (code, out) == (0, RIGHT)
    assert err.startswith("c0; there are no public examples; ")


def test_json_is_the_whole_task(stack: SmallStack) -> None:
    problem = {"statement": STATEMENT, "examples": [{"input": "3", "output": "6"}]}
    Path("p.json").write_text(json.dumps({"problem": problem, "policy": "D", "seed": 3}))
    code, out, _ = solve("p.json", "--seed", "4", "--json", "--target", stack.url)
    assert code == 0
    view = TaskView.model_validate_json(out)
    assert (view.policy, view.program, view.status) == ("D", RIGHT, "decided")
    first = httpx.get(f"{stack.url}/v1/tasks/{view.id}/journal").text.splitlines()[0]
    assert json.loads(first)["event"]["policy"]["seed"] == 4


def test_a_program_that_fails_an_example_is_printed_all_the_same(stack: SmallStack) -> None:
    stack.model.script = lambda request: program("print(int(input()) * 3)")
    code, out, err = solve("double.md", *EXAMPLES, "--policy", "resample", "--target", stack.url)
    assert (code, out) == (4, "print(int(input()) * 3)\n")
    assert err.startswith("c0 passed 0 of 2 public examples; ")


def test_a_task_that_abstains_prints_no_program_and_has_its_own_exit_code(stack: SmallStack) -> None:
    code, out, err = solve("double.md", *EXAMPLES, "--abstain-below", "1", "--target", stack.url)
    assert (code, out) == (5, "")
    assert err.startswith("abstained: confidence 0.")
    assert " is below 1.00; ask again with a lower abstain_below, or a larger policy; " in err
    code, out, _ = solve("double.md", *EXAMPLES, "--abstain-below", "0", "--target", stack.url)
    assert (code, out) == (0, RIGHT)
    assert solve("double.md", "--abstain-below", "1.5", "--target", stack.url)[0] == 2


def test_a_task_without_a_program(stack: SmallStack) -> None:
    stack.model.script = lambda request: "I would rather not."
    code, out, err = solve("double.md", "--policy", "A", "--target", stack.url)
    assert (code, out) == (3, "")
    assert err.startswith("failed: no program was generated: no answer of the model held a code block; ")


def test_stack_trouble_and_wrong_usage(stack: SmallStack) -> None:
    code, out, err = solve("double.md", "--target", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert err.startswith("Cannot start: no gateway answers at http://127.0.0.1:9")
    assert solve("double.md", "--target", "nix")[0] == 2
    assert solve("nix.md", "--target", stack.url)[0] == 2
    assert solve()[0] == 2
    code, _, err = solve("double.md", "--example", "1.in", "--target", stack.url)
    assert code == 2
    code, _, err = solve("double.md", "--policy", "nix", "--target", stack.url)
    assert code == 2
    assert "no policy 'nix'" in err


def test_infrastructure_is_told_from_the_model() -> None:
    view = TaskView.model_validate(
        {
            "id": "t",
            "status": "failed",
            "policy": "p",
            "model": "m",
            "priority": "p1",
            "submitted_at": 1,
            "seconds": 1,
            "events": 1,
            "usage": {},
            "error": "poisoned",
        }
    )
    assert exit_code(view) == 3
    assert exit_code(view.model_copy(update={"infrastructure": True})) == 1


def test_ctrl_c_cancels_the_task(stack: SmallStack) -> None:
    stack.model.hold = asyncio.Event()  # for ever
    command = [sys.executable, "-m", "atlas.cli", "solve", "double.md", "--target", stack.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        deadline = time.monotonic() + 20
        while not stack.model.requests:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=20)
    assert (client.returncode, out) == (130, "")
    task = httpx.get(f"{stack.url}/v1/tasks").json()["tasks"][0]
    assert task["status"] == "cancelled"
    assert err.splitlines() == [f"task {task['id']} is cancelled", "interrupted"]


def test_stages_are_shown_on_a_terminal_only(stack: SmallStack) -> None:
    solve("double.md", *EXAMPLES, "--target", stack.url)
    task = httpx.get(f"{stack.url}/v1/tasks").json()["tasks"][0]["id"]
    lines = httpx.get(f"{stack.url}/v1/tasks/{task}/journal").text.splitlines()
    shown = {}
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
        with Stages(console) as stages:
            for line in lines:
                stages.heard(Entry.model_validate_json(line))
        shown[terminal] = console.file.getvalue()  # type: ignore[attr-defined]
    assert "c0 passes 2 of 2 public examples" in shown[True]
    assert "decided: c0" in shown[True]
    assert "call " not in shown[True], "what only matters to those who study a run is in the journal"
    assert shown[False] == ""


# ---------------------------------------------------------------- files


def test_a_plain_statement_becomes_a_request() -> None:
    request = request_of(
        "double.md", examples=[(Path("1.in"), Path("1.out"))], function="f", starter=Path("double.md"), seed=3
    )
    problem = request.problem
    assert (problem.statement, problem.kind, problem.entry_point) == (STATEMENT, "function", "f")
    assert problem.starter_code == STATEMENT
    assert (problem.examples[0].input, problem.examples[0].output) == ("2\n", "4\n")
    assert (request.policy, request.seed, request.deadline_s) == ("full", 3, None)


def test_json_is_a_problem_or_a_request() -> None:
    problem = {"statement": "s", "kind": "function", "entry_point": "f"}
    for body in (problem, {"problem": problem}):
        Path("body").write_text(json.dumps(body))  # JSON is told by its content, too
        assert request_of("body") == SubmitRequest.model_validate({"problem": problem})
    Path("set").write_text("{1, 2} is a set. Print its size.")
    assert request_of("set").problem.statement.startswith("{1, 2}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", b"{", "x.json is not JSON: "),
        ("x.json", b"[1]", "x.json holds JSON, but not an object with a problem"),
        ("x.json", b'{"statement": "s", "hidden": 1}', "problem.hidden: Extra inputs"),
        ("x.json", b'{"statement": ""}', "problem.statement: String should have at least 1"),
        ("x.md", b"", "problem.statement: String should have at least 1"),
        ("x.md", b"\xff", "x.md is not text in UTF-8: byte 0"),
    ],
)
def test_what_is_not_a_problem(name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        request_of(name)
    assert said in str(caught.value)


def test_options_for_a_statement_do_not_fit_json() -> None:
    Path("p.json").write_text('{"statement": "s"}')
    with pytest.raises(BadInput, match="write the examples"):
        request_of("p.json", function="f")
    with pytest.raises(BadInput, match="cannot read nix"):
        request_of("double.md", starter=Path("nix"))
