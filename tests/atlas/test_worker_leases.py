"""A command has one owner at a time, and one answer: leases, dead workers, and a swarm killed at random."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from histories import answer, plainest, submission
from worker_bench import LEASE_S, Bench, Probe, new_bench, plain, solver, within

from atlas import worker as worker_module
from atlas.events import AnyEvent, ExecutionFinished, TaskDecided
from atlas.journal import Outcome
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.policy import A, Policy
from atlas.worker import Context, Handler

bench = pytest.fixture(new_bench)


@pytest.fixture
def fast_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "WATCH_S", 0.05)
    monkeypatch.setattr(worker_module, "HEARTBEAT_S", LEASE_S / 8)


@pytest.mark.usefixtures("fast_watch")
async def test_work_whose_lease_was_lost_is_abandoned_and_answered_by_the_new_owner(bench: Bench) -> None:
    probe = Probe()
    running = bench.start(probe)
    await bench.journal.submit("t", submission(A))
    await within(2, probe.started.wait())
    stolen = await bench.journal.claim("planner", "thief", block_ms=None, lease_s=0)
    assert stolen
    await within(1, probe.cancelled.wait())
    await bench.kill(running)
    assert await bench.pending() == 1, "still the thief's"
    state = await bench.state()
    assert await bench.journal.finish(stolen, answer(state, stolen.command, plainest)) is Outcome.OK
    assert list((await bench.state()).candidates) == ["c0"]


@pytest.mark.usefixtures("fast_watch")
async def test_a_long_handler_keeps_its_lease(bench: Bench) -> None:
    probe = Probe()
    for _ in range(2):
        bench.start(probe)
    await bench.journal.submit("t", submission(A))
    await within(2, probe.started.wait())
    await asyncio.sleep(1.6 * LEASE_S)
    assert probe.starts == 1
    assert not probe.cancelled.is_set()
    probe.release.set()
    await bench.until(lambda s: s.candidates)
    assert probe.starts == 1


@pytest.mark.usefixtures("fast_watch")
async def test_a_dead_workers_command_comes_over_when_its_lease_ends(bench: Bench) -> None:
    probe = Probe()
    first = bench.start(probe)
    await bench.journal.submit("t", submission(A))
    await within(2, probe.started.wait())
    await bench.kill(first)
    bench.start(plain)
    await within(LEASE_S + 1.5, bench.until(lambda s: s.candidates))


async def test_two_workers_share_the_work_and_answer_each_command_once(bench: Bench) -> None:
    barrier = Counter[int]()

    def numbered(number: int) -> Handler:
        async def handle(context: Context) -> list[AnyEvent]:
            barrier[number] += 1
            await asyncio.sleep(0.01)
            return answer(context.state, context.command, plainest)

        return handle

    for number in range(2):
        bench.start_process(numbered(number))
    policy = Policy(name="p", k=3, stop_after_passing=0)
    tasks = [f"t{i}" for i in range(6)]
    for task in tasks:
        await bench.journal.submit(task, submission(policy))
    for task in tasks:
        state = await bench.until(lambda s: s.closed, task)
        assert isinstance(state.closed, TaskDecided)
        runs = [e.event.candidate for e in await bench.journal.read(task) if _is_run(e.event)]  # type: ignore[union-attr]
        assert sorted(runs) == ["c0", "c1", "c2"]
    issued = [len((await bench.state(task)).issued) for task in tasks]
    assert barrier.total() == sum(issued)
    assert min(barrier.values()) > 0


def _is_run(event: AnyEvent) -> bool:
    return isinstance(event, ExecutionFinished)


class SwarmServer(FakeModelServer):
    """The model server as one process sees it: takes a while, and notes what came back to any process."""

    def __init__(self, chance: random.Random, made: Counter[str], returned: Counter[str]) -> None:
        super().__init__(lambda _: "text")
        self.chance = chance
        self.made, self.returned = made, returned
        self.called = asyncio.Event()  # a call is in flight

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        self.made[request.prompt] += 1
        self.called.set()
        try:
            await asyncio.sleep(self.chance.uniform(0.005, 0.08))
        finally:
            self.called.clear()
        result = await super().complete(request, on_tokens)
        self.returned[request.prompt] += 1
        return result


@pytest.mark.usefixtures("fast_watch")
async def test_a_swarm_whose_workers_are_killed_at_random_loses_and_repeats_nothing(bench: Bench) -> None:
    chance = random.Random(20)
    made, returned = Counter[str](), Counter[str]()
    servers = [SwarmServer(chance, made, returned) for _ in range(4)]
    processes = [bench.start_process(solver(server)) for server in servers]
    tasks = [f"t{i}" for i in range(10)]
    for i, task in enumerate(tasks):
        await bench.journal.submit(
            task, submission(Policy(name="p", k=4, plans=i % 2, stop_after_passing=i % 3))
        )

    async def kill(victim: int) -> None:
        await bench.kill(processes[victim])
        processes[victim] = bench.start_process(solver(servers[victim]))

    for victim in range(2):  # whatever the machine is busy with, some calls are cut off
        await within(5, servers[victim].called.wait())
        await kill(victim)
    for _ in range(12):
        await asyncio.sleep(chance.uniform(0.02, 0.12))
        await kill(chance.randrange(len(processes)))
    for task in tasks:
        state = await bench.until(lambda s: s.closed, task)
        assert not state.open
        assert isinstance(state.closed, TaskDecided)
        assert len(state.calls) == len({c for c in state.issued if c.startswith(("plans", "generate"))})
    assert made.total() >= returned.total() + 2, "calls in flight were to be cut off"
    assert set(returned.values()) == {1}, "a call that came back was made again"
    for service in ("planner", "sandbox", "lens"):
        await bench.settled(service)
