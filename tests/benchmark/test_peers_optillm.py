"""optillm's environment and the child in it: with a package that looks like it, and with the real one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from atlas.errors import InfrastructureError, StartupError
from benchmark.peers import optillm as module
from benchmark.peers.ledger import Ledger
from benchmark.peers.optillm import Optillm, Question, Reply, Versions
from benchmark.peers.proxy import MeteringProxy
from tests.benchmark.peers_bench import ScriptedLlama

REAL = os.environ.get("ATLAS_TEST_OPTILLM")
needs_optillm = pytest.mark.skipif(not REAL, reason="ATLAS_TEST_OPTILLM names no environment with optillm")
LOOKS_LIKE_OPTILLM = {
    "__init__.py": "raise ImportError('this would need torch')",
    "conversation_logger.py": "",
    "bon.py": """
from optillm import conversation_logger
def best_of_n_sampling(system, query, client, model, n=3, request_config=None, request_id=None):
    print("noise on stdout")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": query}]
    answer = client.chat.completions.create(model=model, messages=messages, n=n, **request_config)
    return answer.choices[-1].message.content, answer.usage.completion_tokens
""",
    "plansearch.py": """
def plansearch(system_prompt, initial_query, client, model, n=1, request_config=None, request_id=None):
    return (["Error: Response was truncated"], 0) if model == "truncates" else exit(3)
""",
}


def question(base_url: str, **more: object) -> Question:
    usual = {
        "approach": "bon",
        "system": "You solve.",
        "user": "Print 1.",
        "base_url": base_url,
        "model": "m",
        "n": 3,
        "max_tokens": 50,
    }
    return Question.model_validate(usual | more)


@pytest.fixture
def lookalike(tmp_path: Path) -> Optillm:
    """An environment whose Python finds the modules above as optillm, and the tests' own openai."""
    package = tmp_path / "packages"
    for name, text in LOOKS_LIKE_OPTILLM.items():
        (package / "optillm").mkdir(parents=True, exist_ok=True)
        (package / "optillm" / name).write_text(text)
    info = package / "optillm-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: optillm\nVersion: 9\n")
    environment = Optillm(tmp_path / "venv")
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text(f'#!/bin/sh\nshift; PYTHONPATH={package} exec {sys.executable} "$@"\n')
    environment.python.chmod(0o755)
    return environment


async def test_the_child_runs_an_approach_without_the_rest_of_the_package(lookalike: Optillm) -> None:
    llama, ledger = ScriptedLlama(["a b", "c"]), Ledger(100)
    async with (
        MeteringProxy("http://llama", transport=llama.transport()) as proxy,
        proxy.metered(ledger, seed=7) as url,
    ):
        reply = await lookalike.ask(question(url), timeout_s=60)
    assert (reply.answer, reply.error) == ("a b", None)
    (chat,) = llama.chats
    assert (chat["n"], chat["max_tokens"], chat["seed"]) == (3, 33, 7)
    assert chat["messages"] == [
        {"role": "system", "content": "You solve."},
        {"role": "user", "content": "User: Print 1."},
    ]
    assert ledger.spent == 3 + 2 + 3


async def test_what_is_no_answer_is_none(lookalike: Optillm) -> None:
    url = "http://127.0.0.1:9/v1"
    truncated = await lookalike.ask(question(url, approach="plansearch", model="truncates"), timeout_s=60)
    assert (truncated.answer, truncated.error) == (None, "Error: Response was truncated")
    nobody = await lookalike.ask(question(url), timeout_s=60)
    assert nobody.answer is None
    assert nobody.error is not None
    assert "APIConnectionError" in nobody.error
    late = await lookalike.ask(question(url), timeout_s=0.01)
    assert late == Reply(answer=None, error="no answer after 0.01 s", seconds=0.01)


async def test_a_child_without_a_word_is_the_machinerys_failure(lookalike: Optillm, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="optillm ended with 3"):
        await lookalike.ask(question("http://127.0.0.1:9/v1", approach="plansearch"), timeout_s=60)
    with pytest.raises(InfrastructureError, match="cannot run"):
        await Optillm(tmp_path / "none").ask(question("http://127.0.0.1:9/v1"), timeout_s=60)


async def test_an_environment_is_made_once_from_a_pinned_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    async def run(command: list[str]) -> str:
        ran.append(command)
        (tmp_path / "venv").mkdir(exist_ok=True)
        return json.dumps({"optillm": module.VERSION, "openai": "3.0.0"})

    monkeypatch.setattr(module, "_run", run)
    environment = Optillm(tmp_path / "venv")
    for _ in range(2):
        assert await environment.install() == Versions(optillm=module.VERSION, openai="3.0.0")
    assert [command[1:3] for command in ran] == [["-m", "venv"], ["-m", "pip"], ["-m", "pip"], ["-I", "-c"]]
    assert {"--no-deps", "--require-hashes"} <= set(ran[1])
    assert f"--hash=sha256:{module.SHA256}" in (tmp_path / "venv" / "optillm.txt").read_text()


async def test_an_environment_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StartupError, match=r"environment cannot be made \(/bin/false -m venv"):
        await Optillm(tmp_path / "venv").install()


@needs_optillm
@pytest.mark.integration
@pytest.mark.parametrize(("approach", "n", "calls"), [("bon", 3, 4), ("plansearch", 1, 4)])
async def test_the_real_one(approach: str, n: int, calls: int) -> None:
    llama, ledger = ScriptedLlama(["7"]), Ledger(1000)
    async with (
        MeteringProxy("http://llama", transport=llama.transport()) as proxy,
        proxy.metered(ledger, seed=0) as url,
    ):
        reply = await Optillm(Path(REAL or "")).ask(question(url, approach=approach, n=n), timeout_s=120)
    assert (reply.answer, reply.error) == ("7", None)
    assert len(llama.chats) == calls
