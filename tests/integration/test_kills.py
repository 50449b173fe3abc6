"""Promise 3: kill -9 any process while a model call is in flight, and nothing is lost, repeated or left."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from atlas import running_stack
from atlas.api import SubmitRequest, TaskView
from atlas.client import Gateway
from atlas.contracts import Example, Problem
from atlas.events import Entry
from atlas.models import ModelFile
from atlas.policy import Policy
from atlas.state import TaskState, fold
from tests.support.stack_process import StackProcess

pytestmark = pytest.mark.integration

# The example contradicts the statement: whatever the model writes fails, so every phase has its turn.
PROBLEM = Problem(
    statement="Read two integers a and b from one line and print their sum.",
    examples=(Example(input="1 2\n", output="never\n"),),
)
POLICY = Policy(name="kills", k=2, repairs=1, temperature=0, max_tokens=96, analysis_max_tokens=48)
# Whose death ends the call in flight, which is then made again.
CALLERS = {"planner", "repair", "llama"}
TARGETS = ("planner", "lens", "sandbox", "executor", "repair", "gateway", "llama", "redis")
SERVED = re.compile(rb"launch_slot_")


class Kills:
    """A running stack of processes, and what the tests ask of it."""

    def __init__(self, stack: StackProcess, gateway: Gateway) -> None:
        self.stack, self.gateway = stack, gateway
        self.log = stack.data_dir / "run" / "llama.log"
        self.family: dict[int, psutil.Process] = {}

    def remember(self) -> None:
        """Note every process there is, to see that none is left in the end."""
        self.family |= {process.pid: process for process in self.stack.family()}

    def served(self) -> int:
        """Requests llama-server has begun, by its own log."""
        return len(SERVED.findall(self.log.read_bytes()))

    async def submit(self, key: str, policy: Policy = POLICY) -> str:
        return (await self.gateway.submit(SubmitRequest(problem=PROBLEM, policy=policy), key))[0].id

    async def entries(self, task: str) -> list[Entry]:
        lines = (await self.gateway.journal(task)).splitlines()
        return [Entry.model_validate_json(line) for line in lines]

    async def until(self, condition: Callable[[TaskState], bool], task: str) -> None:
        await eventually(lambda: self._holds(condition, task))

    async def _holds(self, condition: Callable[[TaskState], bool], task: str) -> bool:
        return condition(fold(TaskState(), await self.entries(task)))

    async def in_flight(self, url: str) -> None:
        """Wait until llama-server generates."""

        async def generating() -> bool:
            async with httpx.AsyncClient() as client:
                slots = (await client.get(f"{url}/slots")).json()
            return any(slot["is_processing"] and slot["next_token"] for slot in slots)

        await eventually(generating)

    async def kill(self, target: str) -> None:
        """kill -9, and wait until the stack has started it again."""
        pid = self.stack.children[target]
        self.remember()
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: _true(self.stack.children[target] != pid), 30)

    @property
    def llama_url(self) -> str:
        stack = running_stack.find(self.stack.data_dir / "run")
        assert stack is not None
        assert stack.llama_url is not None
        return stack.llama_url


async def _true(value: bool) -> bool:
    return value


async def eventually(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():  # type: ignore[misc]
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, smol_model: ModelFile) -> Iterator[StackProcess]:
    directory = tmp_path_factory.mktemp("kills")
    process = StackProcess(directory, "--processes", MODEL_PATH=smol_model.path, THREADS=1, SLOTS=2)
    process.wait_ready()
    yield process
    process.stop()


@pytest.fixture
async def kills(stack: StackProcess) -> AsyncIterator[Kills]:
    async with Gateway(stack.url) as gateway:
        yield Kills(stack, gateway)


def test_every_service_is_a_process_of_its_own(stack: StackProcess) -> None:
    commands = {name: psutil.Process(pid).cmdline() for name, pid in stack.children.items()}
    assert set(commands) == {"redis", "llama", "executor", "gateway", "planner", "lens", "sandbox", "repair"}
    for service in ("gateway", "planner", "lens", "sandbox", "repair"):
        assert commands[service][-4:-2] == ["serve", service]
    assert len(set(stack.children.values())) == 8


@pytest.mark.parametrize("target", TARGETS)
async def test_a_task_outlives_the_death_of(target: str, kills: Kills) -> None:
    before = kills.served()
    task = await kills.submit(f"kill {target}")
    if target == "repair":
        await kills.until(lambda state: "repair:0" in state.open, task)
    await kills.in_flight(kills.llama_url)
    await kills.kill(target)
    view: TaskView = await asyncio.wait_for(kills.gateway.wait(task), 90)
    assert view.status in ("decided", "failed")
    assert not view.infrastructure, view.error
    assert view.failures == () or {f.reason for f in view.failures} == {"bad_output"}
    state = fold(TaskState(), await kills.entries(task))  # refuses a second result of any command
    assert state.closed
    assert not state.open
    calls = [choice for call in state.calls.values() for choice in call.choices]
    assert len(state.calls) >= 3, "candidates and a repair"
    again = kills.served() - before - len(calls)
    assert again == (1 if target in CALLERS else 0), "only the call in flight may be made again"


@pytest.fixture
def extra_planner(stack: StackProcess, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`atlas worker planner`, as someone would start it beside the stack."""
    environment = {**os.environ, "ATLAS_DATA_DIR": str(stack.data_dir), "ATLAS_SLOTS": "2"}
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "atlas.cli", "worker", "planner"]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=file, stderr=file)
    yield process
    process.terminate()
    assert process.wait(20) == 0, log.read_text()


async def test_a_worker_started_by_hand_shares_the_work(
    kills: Kills, extra_planner: subprocess.Popen[bytes]
) -> None:
    """SLOTS=2: one planner takes two commands at once, so four under way are the work of two."""
    policy = POLICY.model_copy(update={"k": 1, "repairs": 0, "max_tokens": 200})

    async def all_under_way() -> bool:
        (planner,) = [q for q in (await kills.gateway.status()).queues if q.service == "planner"]
        return planner.running == 4

    tasks = [await kills.submit(f"shared {i}", policy) for i in range(8)]
    await eventually(all_under_way)
    assert extra_planner.poll() is None
    for task in tasks:
        assert (await asyncio.wait_for(kills.gateway.wait(task), 120)).status == "decided"


async def test_in_the_end_nothing_is_left(kills: Kills) -> None:
    """The last test: it stops the stack."""
    kills.remember()
    assert len(kills.family) >= 9
    assert kills.stack.stop() == 0
    _, alive = psutil.wait_procs(list(kills.family.values()), timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    run = kills.stack.data_dir / "run"
    assert not (run / "stack.json").exists()
