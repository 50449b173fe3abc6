"""`atlas up` on real parts: it solves, it says what is wrong, and it leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from atlas.embedded.own_stack import free_ports
from atlas.models import ModelFile
from tests.support.stack_process import StackProcess, running

pytestmark = pytest.mark.integration
PROBLEM = {
    "statement": "Read two integers a and b from one line and print their sum.",
    "examples": [{"input": "1 2\n", "output": "3\n"}],
}


def test_a_problem_is_solved_over_rest_with_its_journal_streamed(
    tmp_path: Path, smol_model: ModelFile
) -> None:
    with running(tmp_path, MODEL_PATH=smol_model.path, THREADS=2) as stack:
        policy = {"name": "small", "k": 2, "max_tokens": 48}
        answer = httpx.post(f"{stack.url}/v1/tasks", json={"problem": PROBLEM, "policy": policy}, timeout=30)
        assert answer.status_code == 202, answer.text
        task = answer.json()["id"]
        with httpx.stream("GET", f"{stack.url}/v1/tasks/{task}/events", timeout=120) as stream:
            lines = [line for line in stream.iter_lines() if line.startswith("event:")]
        kinds = [line.removeprefix("event:").strip() for line in lines]
        assert kinds[0] == "TaskSubmitted"
        assert kinds[-1] in ("TaskDecided", "TaskFailed")
        view = httpx.get(f"{stack.url}/v1/tasks/{task}").json()
        assert view["usage"]["tokens_out"] > 0
        assert view["model_s"] > 0
        if view["status"] == "decided":
            assert view["program"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_nothing_is_left_running(tmp_path: Path, smol_model: ModelFile, number: int) -> None:
    stack = StackProcess(tmp_path, MODEL_PATH=smol_model.path)
    stack.wait_ready()
    family = stack.family()
    assert len(family) >= 4, "the stack itself, Redis, llama-server and the executor"
    code = stack.stop(number)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert code == (-9 if number == signal.SIGKILL else 0)


def refusal(directory: Path, **settings: object) -> str:
    stack = StackProcess(directory, **settings)
    assert stack.process.wait(30) != 0
    return stack.log.read_text()


def test_a_taken_port_is_named(tmp_path: Path, smol_model: ModelFile) -> None:
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + 2)):
        said = refusal(tmp_path, MODEL_PATH=smol_model.path, PORT=port)
    assert str(port + 2) in said
    assert "PORT" in said
    assert "Traceback" not in said


def test_a_missing_model_names_the_command_that_gets_it(tmp_path: Path) -> None:
    said = refusal(tmp_path, MODEL="qwen2.5-coder-1.5b")
    assert "atlas models pull" in said
    assert "Traceback" not in said


def test_a_wrong_hash_is_refused(tmp_path: Path, smol_model: ModelFile) -> None:
    models = tmp_path / "data" / "models"
    models.mkdir(parents=True)
    damaged = bytearray(smol_model.path.read_bytes())
    damaged[-1] ^= 1
    (models / smol_model.path.name).write_bytes(damaged)
    said = refusal(tmp_path, MODEL="smollm2-135m")
    assert "sha256" in said
    assert "Traceback" not in said


def test_the_settings_steer_the_running_gateway(tmp_path: Path, smol_model: ModelFile) -> None:
    """HOST (with it API keys), PORT and TASK_DEADLINE_SECONDS, seen from outside."""
    settings = {"HOST": "0.0.0.0", "TASK_DEADLINE_SECONDS": 7.5, "LOG_LEVEL": "debug"}
    with running(tmp_path, MODEL_PATH=smol_model.path, **settings) as stack:
        listening = [
            c.laddr for c in psutil.Process(stack.process.pid).net_connections() if c.status == "LISTEN"
        ]
        assert ("0.0.0.0", stack.port) in listening
        assert {a.ip for a in listening if a.port != stack.port} <= {"127.0.0.1"}
        policy = {"name": "one", "k": 1, "max_tokens": 16}
        body = {"problem": PROBLEM, "policy": policy}
        assert httpx.post(f"{stack.url}/v1/tasks", json=body, timeout=30).status_code == 401
        made = subprocess.run(
            [sys.executable, "-m", "atlas.cli", "keys", "create", "tests"],
            env={**os.environ, "ATLAS_DATA_DIR": str(stack.data_dir)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        task = httpx.post(f"{stack.url}/v1/tasks", json=body, headers=headers, timeout=30).json()["id"]
        journal = httpx.get(f"{stack.url}/v1/tasks/{task}/journal", headers=headers).text.splitlines()
        assert json.loads(journal[0])["event"]["deadline_s"] == 7.5
    assert " D " in stack.log.read_text()
