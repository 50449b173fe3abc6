"""`atlas tasks`, `journal`, `cancel`, `status` and `dlq` on the real gateway and workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from atlas.api import SubmitRequest
from atlas.cli import app
from atlas.cli_tasks import age
from atlas.client import Gateway, GatewayRefused
from atlas.contracts import Example, Problem
from atlas.errors import BadInput, NotFound
from atlas.events import Entry
from atlas.journal import Delivery, Journal
from atlas.redis_client import connect
from tests.support.scripted_gateway import Answer, ScriptedGateway, problem
from tests.support.small_stack import SmallStack, small_stack

PROBLEM = Problem(statement="Double it.", examples=(Example(input="2", output="4"),))


@pytest.fixture
def stack(redis_url: str) -> Iterator[SmallStack]:
    with small_stack(redis_url) as running:
        yield running


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def atlas(url: str, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*arguments, "--target", url])
    return result.exit_code, result.stdout, result.stderr


def submitted(url: str, key: str, *, ended: bool = True) -> str:
    async def work() -> str:
        async with Gateway(url) as gateway:
            view, _ = await gateway.submit(SubmitRequest(problem=PROBLEM), key)
            return (await gateway.wait(view.id)).id if ended else view.id

    return asyncio.run(work())


def test_tasks_are_listed_newest_first_with_ids_that_can_be_used(stack: SmallStack) -> None:
    ids = [submitted(stack.url, key) for key in ("a", "b", "c")]
    code, out, _ = atlas(stack.url, "tasks")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert code == 0
    assert [row[0] for row in rows] == [each[:8] for each in reversed(ids)]
    assert all(row[1:3] == ["decided", "full"] for row in rows)
    assert all("c0 passed 1 of 1 public example" in line for line in out.splitlines()[1:])
    assert len(atlas(stack.url, "tasks", "-n", "2")[1].splitlines()) == 3
    listed = json.loads(atlas(stack.url, "tasks", "--json")[1])
    assert [task["id"] for task in listed["tasks"]] == ids[::-1]
    code, out, _ = atlas(stack.url, "journal", rows[0][0])
    assert code == 0


def test_the_journal_is_a_story_with_the_program_at_its_end(stack: SmallStack) -> None:
    task = submitted(stack.url, "a")
    code, out, _ = atlas(stack.url, "journal", task[:6])
    assert code == 0
    lines = out.splitlines()
    assert re.match(r"\s+0\.0 s  submitted: policy full", lines[0])
    assert re.search(r"^\s+\d+\.\d s  c0 passes 1 of 1 public example", out, re.M)
    assert re.search(r"^\s+example 1: accepted$", out, re.M)
    assert lines[-1] == "print(int(input()) * 2)"
    code, out, _ = atlas(stack.url, "journal", task, "--json")
    raw = httpx.get(f"{stack.url}/v1/tasks/{task}/journal").text
    assert [Entry.model_validate_json(line) for line in out.splitlines()] == [
        Entry.model_validate_json(line) for line in raw.splitlines()
    ]


def test_follow_tells_each_step_once_and_ends_with_the_task(stack: SmallStack) -> None:
    stack.model.hold = hold = asyncio.Event()
    task = submitted(stack.url, "a", ended=False)
    release = threading.Timer(0.5, lambda: stack.call(hold.set))
    release.start()
    code, out, _ = atlas(stack.url, "journal", task, "--follow", "--json")
    release.join()
    assert code == 0
    sequence = [json.loads(line)["seq"] for line in out.splitlines()]
    assert sequence == list(range(1, len(sequence) + 1))
    assert json.loads(out.splitlines()[-1])["event"]["type"] == "TaskDecided"


def test_cancel(stack: SmallStack) -> None:
    stack.model.hold = asyncio.Event()
    task = submitted(stack.url, "a", ended=False)
    code, out, _ = atlas(stack.url, "cancel", task[:8])
    assert (code, out) == (0, f"{task}  cancelled\n")
    assert re.search(r"^\s+\d+\.\d s  cancelled$", atlas(stack.url, "journal", task)[1], re.M)


def test_the_beginning_of_an_id_must_lead_to_one_task(stack: SmallStack) -> None:
    ids: list[str] = []
    for n in range(17):  # of 17 ids two begin alike
        ids.append(submitted(stack.url, str(n), ended=False))

    async def find(beginning: str) -> str:
        async with Gateway(stack.url) as gateway:
            return await gateway.find(beginning)

    firsts = [each[0] for each in ids]
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(BadInput, match="more than one"):
        asyncio.run(find(twice))
    assert asyncio.run(find(ids[3][:20])) == ids[3]
    with pytest.raises(NotFound):
        asyncio.run(find("f" * 31))
    for wrong in ("", "../v1", "XYZ", "0" * 33):
        with pytest.raises(BadInput, match="not the beginning"):
            asyncio.run(find(wrong))
    code, _, err = atlas(stack.url, "journal", "f" * 31)
    assert code == 2
    assert "`atlas tasks` lists them" in err


# ---------------------------------------------------------------- status


def test_status_of_a_stack_that_runs(stack: SmallStack, tmp_path: Path) -> None:
    submitted(stack.url, "a")
    run_dir = tmp_path / "data" / "run"
    run_dir.mkdir(parents=True)
    children = {"redis": os.getpid(), "llama": 2**22 + 1}
    state = {"pid": os.getpid(), "gateway_url": stack.url, "children": children}
    (run_dir / "stack.json").write_text(json.dumps(state))
    code, out, _ = atlas(stack.url, "status")
    assert code == 0
    assert re.match(rf"ATLAS \S+ at {stack.url}: ready\n", out)
    assert re.search(r"^model +fake *$", out, re.M)
    assert re.search(r"^tasks under way +0 *$", out, re.M)
    for service in ("planner", "lens", "sandbox", "repair"):
        assert re.search(rf"^ *{service} +0 +0 +\d", out, re.M)
    assert out.splitlines()[-1] == f"on this machine: atlas up ({os.getpid()}), redis ({os.getpid()})"
    told = json.loads(atlas(stack.url, "status", "--json")[1])
    assert (told["state"], told["stack"]["model"]) == ("ready", "fake")
    assert told["processes"] == {"atlas up": os.getpid(), "redis": os.getpid()}


def test_status_without_a_gateway() -> None:
    code, out, _ = atlas("http://127.0.0.1:9", "status")
    assert code == 1
    assert out == "no gateway answers at http://127.0.0.1:9: check --target\n"
    result = CliRunner().invoke(app, ["status"], env={"ATLAS_PORT": "9"})
    assert result.exit_code == 1
    assert "start the stack with `atlas up`" in result.stdout
    assert json.loads(atlas("http://127.0.0.1:9", "status", "--json")[1])["stack"] is None


def test_status_of_a_gateway_that_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.cli_status.STATUS_PATIENCE_S", 0.1)
    gateway = ScriptedGateway()
    away = {"service": "gateway", "problems": {"redis": "Redis is away"}}
    status: dict[str, Any] = {"version": "1", "model": None, "problems": away["problems"], "queues": []}
    answers = {
        "/readyz": Answer(503, [json.dumps(away).encode()]),
        "/v1/status": problem(503, "the journal cannot be reached"),
    }
    gateway.hook = lambda when, method, path: answers.get(path)
    with gateway.served() as url:
        code, out, _ = atlas(url, "status")
        assert code == 1
        assert out == f"ATLAS at {url}: not ready\n  Redis is away\n"
        answers["/v1/status"] = Answer(
            200, [json.dumps(status | {"open_tasks": 3, "dead_letters": 2}).encode()]
        )
        code, out, _ = atlas(url, "status")
        assert code == 1
        assert out.startswith(f"ATLAS 1 at {url}: not ready\n  redis: Redis is away\n")
        assert "2  (atlas dlq list)" in out


def test_a_gateway_that_wants_a_key_is_answered_with_what_to_do() -> None:
    gateway = ScriptedGateway()
    keys: list[str | None] = []

    def hook(when: str, method: str, path: str) -> Answer | None:
        if when == "before" and path != "/readyz":
            keys.append(gateway.requests[-1][2].get("authorization"))
            return problem(401, "make a key with `atlas keys create NAME`")
        return None

    gateway.hook = hook
    with gateway.served() as url:
        code, _, err = atlas(url, "tasks")
        result = CliRunner().invoke(app, ["tasks", "--target", url], env={"ATLAS_API_KEY": "atlas_k"})
    assert code == 1
    assert err.startswith("No access: 401: make a key with `atlas keys create NAME`. ")
    assert "ATLAS_API_KEY" in err
    assert keys == [None, "Bearer atlas_k"]
    assert "atlas_k" not in result.stderr


# ---------------------------------------------------------------- dead letters


def buried(redis_url: str) -> tuple[str, str]:
    """Give up a command of a task, as a worker does; return the task and the letter's id."""

    async def work() -> tuple[str, str]:
        async with connect(redis_url) as redis:
            journal = Journal(redis)
            delivery: Delivery | None = None
            while delivery is None:
                delivery = await journal.claim("planner", "worker-that-dies")
            await journal.bury(delivery)
            return delivery.task, str((await redis.xrange("{atlas}:dead"))[0][0])

    return asyncio.run(work())


def test_dead_letters_are_listed_shown_retried_and_dropped(redis_url: str) -> None:
    with small_stack(redis_url, workers=False) as stack:
        submitted(stack.url, "a", ended=False)
        asyncio.run(_open_queues(redis_url))
        task, letter = buried(redis_url)
        code, out, _ = atlas(stack.url, "dlq", "list")
        assert code == 0
        assert out.splitlines()[1].split()[0] == letter
        assert task in out
        assert "planner" in out
        assert json.loads(atlas(stack.url, "dlq", "list", "--json")[1])["letters"][0]["id"] == letter
        code, out, _ = atlas(stack.url, "dlq", "show", letter)
        assert json.loads(out)["command"]["kind"] == "generate"
        code, out, _ = atlas(stack.url, "dlq", "retry", letter)
        assert code == 0
        assert out.strip() != task
        assert len(out.strip()) == 32
        assert len(atlas(stack.url, "dlq", "list")[1].splitlines()) == 1
        _, letter = buried(redis_url)
        code, out, err = atlas(stack.url, "dlq", "drop", letter)
        assert (code, out, err) == (0, "", f"dropped {letter}\n")
        for verb in ("show", "retry", "drop"):
            code, _, err = atlas(stack.url, "dlq", verb, "1-2/../..")
            assert code == 2
            assert "Refused" in err


async def _open_queues(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        await Journal(redis).open_queues("planner")


async def test_letters_come_in_pages() -> None:
    letter = {"task": "t", "time": 1, "service": "lens", "command": {"kind": "select", "id": "select"}}
    pages = {
        "/v1/dead-letters": {"letters": [letter | {"id": "1-0"}], "next_after": "1-0"},
        "/v1/dead-letters?after=1-0": {"letters": [letter | {"id": "2-0"}]},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=pages[request.url.raw_path.decode()])

    async with Gateway("http://gateway", transport=httpx.MockTransport(answer)) as gateway:
        assert [each.id for each in (await gateway.dead_letters()).letters] == ["1-0", "2-0"]


async def test_a_journal_that_cannot_be_read_says_so() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text='{"seq": 1}\n'))
    async with Gateway("http://gateway", transport=transport) as gateway:
        with pytest.raises(GatewayRefused, match="not a journal"):
            await gateway.entries("0" * 32)


def test_ages() -> None:
    assert [age(s) for s in (-1, 40, 200, 7300, 200_000)] == ["0 s", "40 s", "3 min", "2 h", "2 d"]
