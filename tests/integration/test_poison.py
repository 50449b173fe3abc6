"""A command that kills every worker that takes it: dead-lettered, and its task ends as a named failure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from atlas.contracts import Example, Problem
from atlas.dead_letters import DeadLetters
from atlas.events import Pins, TaskFailed, TaskSubmitted
from atlas.journal import Journal
from atlas.policy import Policy
from atlas.redis_client import connect
from atlas.worker import MAX_DELIVERIES
from tests.atlas import scripted_llama

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[2]

# The planner as it is, but for leases of 0.3 s instead of 15, so that it dies six times in seconds.
WORKER = """
import asyncio, sys
from atlas.journal import Journal
from atlas.llama import LlamaClient
from atlas.redis_client import connect
from atlas.worker import Worker
from services.planner.worker import handler

class Hasty(Journal):
    async def claim(self, service, consumer, block_ms=100, lease_s=0.3):
        return await super().claim(service, consumer, block_ms, lease_s)

redis_url, llama_url = sys.argv[1:]
asyncio.run(Worker("planner", Hasty(connect(redis_url)), handler(LlamaClient(llama_url), 1)).run())
"""


async def kills_its_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model server whose caller dies of every completion, as of a bug in native code."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"POST /completion"):
        port = writer.get_extra_info("peername")[1]
        for connection in psutil.net_connections("tcp"):
            if connection.laddr.port == port and connection.pid not in (None, os.getpid()):
                os.kill(connection.pid, signal.SIGKILL)
    else:
        body = json.dumps({"prompt": "p", **scripted_llama.props()}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
    writer.close()


@pytest.fixture
async def deadly_url() -> AsyncIterator[str]:
    server = await asyncio.start_server(kills_its_client, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    yield journal
    await journal.redis.aclose()


async def test_it_reaches_the_dead_letters_and_its_task_says_so(
    journal: Journal, redis_url: str, deadly_url: str
) -> None:
    problem = Problem(statement="s", examples=(Example(input="1", output="1"),))
    pins = Pins(pipeline="1", prompts_sha256="0" * 64, model="m")
    submitted = TaskSubmitted(problem=problem, policy=Policy(name="p"), pins=pins, deadline_s=600)
    await journal.submit("t", submitted)
    deaths, deadline = 0, time.monotonic() + 60
    while not (state := await journal.state("t")).closed:
        assert time.monotonic() < deadline
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, redis_url, deadly_url, cwd=REPO, stderr=subprocess.DEVNULL
        )
        ended = asyncio.ensure_future(worker.wait())
        while not ended.done() and not (state := await journal.state("t")).closed:
            await asyncio.wait({ended}, timeout=0.1)
        if not ended.done():
            worker.kill()
        else:
            deaths += 1
            assert ended.result() == -signal.SIGKILL
        await ended
    assert deaths == MAX_DELIVERIES
    assert isinstance(state.closed, TaskFailed)
    assert state.closed.infrastructure
    assert "generate:0 poisoned: delivered 6 times" in state.closed.reason
    (letter,) = (await DeadLetters(journal.redis).list(10)).letters
    assert (letter.task, letter.service, letter.command.id) == ("t", "planner", "generate:0")
