"""Two real llama-servers: tasks spread, each stays with its prefix, and kill -9 loses nothing."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil
import pytest

from atlas import models
from atlas.api import SubmitRequest
from atlas.client import Gateway
from atlas.config import Settings
from atlas.contracts import Example, Problem
from atlas.embedded import llama_server
from atlas.events import Entry, ModelCallFinished
from atlas.policy import Policy
from atlas.state import TaskState, fold
from tests.support.stack_process import StackProcess, running

pytestmark = pytest.mark.integration

SLOTS = 2
PATIENCE_S = 600  # on a busy machine
# No program passes: both candidates are drawn, and a repair is asked for.
PROBLEM = Problem(
    statement="Read two integers a and b from one line and print their sum. Say why it is right, at length.",
    examples=(Example(input="1 2\n", output="never\n"),),
)
POLICY = Policy(name="fleet", k=2, repairs=1, temperature=0, max_tokens=16, analysis_max_tokens=16)


class Fleet:
    """A running stack on two servers of its own."""

    def __init__(self, servers: list[llama_server.LlamaServer], gateway: Gateway) -> None:
        self.servers = {server.url.removeprefix("http://"): server for server in servers}
        self.gateway = gateway

    async def submit(self, key: str, policy: Policy = POLICY) -> str:
        return (await self.gateway.submit(SubmitRequest(problem=PROBLEM, policy=policy), key))[0].id

    async def calls(self, task: str) -> list[ModelCallFinished]:
        lines = (await self.gateway.journal(task)).splitlines()
        entries = [Entry.model_validate_json(line) for line in lines]
        fold(TaskState(), entries)  # refuses what is recorded or answered twice
        return [entry.event for entry in entries if isinstance(entry.event, ModelCallFinished)]

    async def slots(self, name: str) -> list[dict[str, object]]:
        async with httpx.AsyncClient() as client:
            found: list[dict[str, object]] = (await client.get(f"http://{name}/slots")).json()
        return found


@pytest.fixture(scope="module")
def servers(
    smol_model: models.ModelFile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[llama_server.LlamaServer]]:
    started = []
    for name in ("one", "two"):
        settings = Settings(
            data_dir=tmp_path_factory.mktemp(name), context_tokens=4096, slots=SLOTS, threads=1
        )
        started.append(llama_server.start(settings, smol_model))
    yield started
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def stack(
    servers: list[llama_server.LlamaServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackProcess]:
    urls = ",".join(server.url for server in servers)
    with running(tmp_path_factory.mktemp("fleet"), LLAMA_URL=urls, SLOTS=SLOTS) as stack:
        yield stack


@pytest.fixture
async def fleet(servers: list[llama_server.LlamaServer], stack: StackProcess) -> AsyncIterator[Fleet]:
    async with Gateway(stack.url) as gateway:
        yield Fleet(servers, gateway)


async def test_tasks_spread_and_find_their_prefix(fleet: Fleet) -> None:
    tasks = [await fleet.submit(f"spread {number}") for number in range(3)]
    views = [await asyncio.wait_for(fleet.gateway.wait(task), PATIENCE_S) for task in tasks]
    assert {view.status for view in views} == {"decided"}
    where, cached = [], []
    for task in tasks:
        calls = await fleet.calls(task)
        assert len(calls) >= 3, "two candidates and a repair at least"
        (server,) = {call.server for call in calls}
        where.append(server)
        again = [b.choices[0].usage for a, b in itertools.pairwise(calls) if a.prompt == b.prompt]
        assert again, "two candidates of one prompt"
        cached += [usage.tokens_cached > usage.tokens_in / 2 for usage in again]
    assert all(cached), "the prefix is where the call was sent, whichever tasks have called meanwhile"
    assert set(where) == set(fleet.servers), "both have work: as many tasks are let in as both have slots"
    assert (await fleet.gateway.status()).model == "smollm2-135m"


async def test_a_server_that_is_killed_takes_nothing_with_it(fleet: Fleet) -> None:
    long = POLICY.model_copy(update={"max_tokens": 64})
    tasks = [await fleet.submit(f"kill {number}", long) for number in range(3)]
    victim = await _busy(fleet, tasks)
    server = psutil.Process(fleet.servers[victim].child.popen.pid)
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)  # with its calls in hand
    held = [task for task in tasks if {call.server for call in await fleet.calls(task)} == {victim}]
    assert held
    for process in family:
        process.kill()
    views = [await asyncio.wait_for(fleet.gateway.wait(task), PATIENCE_S) for task in tasks]
    assert {view.status for view in views} == {"decided"}
    (survivor,) = set(fleet.servers) - {victim}
    for task in held:
        calls = await fleet.calls(task)
        moved = [call.server for call in calls]
        assert moved == sorted(moved, key=lambda server: server == survivor), "once, and not back"
        assert moved[-1] == survivor
    assert (await fleet.gateway.readiness()).state == "ready", "one is enough"
    late = await fleet.submit("after")
    assert (await asyncio.wait_for(fleet.gateway.wait(late), PATIENCE_S)).status == "decided"
    assert {call.server for call in await fleet.calls(late)} == {survivor}


async def _busy(fleet: Fleet, tasks: list[str]) -> str:
    """Wait for a server that holds a task's prefix and generates; return its name."""
    for _ in range(2000):
        for task in tasks:
            calls = await fleet.calls(task)
            if calls and calls[-1].server is not None:
                name = calls[-1].server
                if any(slot["is_processing"] for slot in await fleet.slots(name)):
                    return name
        await asyncio.sleep(0.02)
    raise AssertionError("no server became busy")
