"""Workers on a real Redis: each command is carried out, and no finished call is made again."""

from __future__ import annotations

import asyncio

import pytest
from histories import submission
from worker_bench import Bench, Probe, StreamingServer, new_bench, plain, solver, within

from atlas.commands import Generate
from atlas.errors import BadInput
from atlas.events import TaskCancelled, TaskDecided
from atlas.journal import Delivery
from atlas.llama_fake import FakeModelServer
from atlas.policy import A, Policy
from atlas.worker import direct

bench = pytest.fixture(new_bench)


async def test_each_command_is_followed_by_what_the_brain_wants_to_the_end(bench: Bench) -> None:
    bench.start_process(plain)
    await bench.journal.submit("t", submission(Policy(name="p", k=2, plans=1, stop_after_passing=0)))
    state = await bench.until(lambda s: s.closed)
    assert isinstance(state.closed, TaskDecided)
    assert state.issued == {"plans", *(f"{w}:{i}" for w in ("generate", "execute") for i in _of(w)), "select"}
    assert not state.open
    for service in ("planner", "sandbox", "lens"):
        await bench.settled(service)


def _of(what: str) -> tuple[str, ...]:
    return ("0", "1") if what == "generate" else ("c0", "c1")


async def test_a_command_of_a_task_that_ended_is_acknowledged_unread(bench: Bench) -> None:
    await bench.journal.submit("t", submission(A))
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    probe = Probe()
    bench.start(probe)
    for _ in range(500):
        if not await bench.journal.redis.xlen("{atlas}:queue:planner:p1"):
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("the command was never acknowledged")
    assert probe.starts == 0


async def test_a_crash_after_the_call_does_not_repeat_the_call(bench: Bench) -> None:
    server, crash = FakeModelServer(lambda _: "text"), asyncio.Event()
    first = bench.start(solver(server, after_call=crash.wait))
    await bench.journal.submit("t", submission(A))
    recorded = await bench.until(lambda s: s.calls)
    assert not recorded.candidates
    await bench.kill(first)
    bench.start(solver(server))
    state = await bench.until(lambda s: s.candidates)
    assert len(server.requests) == 1
    assert list(state.calls) == ["generate:0/code"]
    assert state.usage.tokens_out == 1


async def test_a_crash_in_the_call_repeats_the_call(bench: Bench) -> None:
    server = StreamingServer()
    first = bench.start(solver(server))
    await bench.journal.submit("t", submission(A))
    await within(2, server.streaming.wait())
    await bench.kill(first)
    assert server.hold
    server.hold.set()
    bench.start(solver(server))
    await bench.until(lambda s: s.candidates)
    assert len(server.requests) == 2
    assert await bench.journal.late_tokens("t") == 0


def test_a_direct_call_whose_policy_allows_no_work_is_refused() -> None:
    policy = Policy(name="p", token_budget=1)
    with pytest.raises(BadInput, match="token budget of 1"):
        direct(submission(policy), Generate(id="generate:0", first=0))


async def test_a_worker_serves_as_many_commands_at_once_as_it_may_and_asks_for_one_at_a_time(
    bench: Bench,
) -> None:
    probe = Probe()
    bench.start(probe, concurrency=3, lease_s=60.0)
    asking, at_once, claim = 0, 0, bench.journals[-1].claim

    async def counted(service: str, consumer: str) -> Delivery | None:
        nonlocal asking, at_once
        asking += 1
        at_once = max(at_once, asking)
        try:
            return await claim(service, consumer)
        finally:
            asking -= 1

    bench.journals[-1].claim = counted  # type: ignore[method-assign,assignment]
    await asyncio.sleep(0.5)
    for name in ("t", "u", "v", "w"):
        await bench.journal.submit(name, submission(A))
    for _ in range(300):
        if probe.starts == 3:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert (probe.starts, at_once) == (3, 1)
    assert await bench.pending() == 3, "the fourth is left to others"
    probe.release.set()
    for name in ("t", "u", "v", "w"):
        await bench.until(lambda s: s.candidates, name)
    assert at_once == 1
