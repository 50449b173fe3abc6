"""What is cancelled or revoked stops, with or without the signal, and late tokens are counted once."""

from __future__ import annotations

import asyncio

import pytest
from histories import submission
from worker_bench import Bench, Probe, StreamingServer, new_bench, solver, within

from atlas import worker as worker_module
from atlas.events import AnyEvent, CommandsRevoked, DeadlineReached, TaskCancelled
from atlas.journal import Journal, Outcome
from atlas.llama_fake import FakeModelServer
from atlas.policy import A, Policy

bench = pytest.fixture(new_bench)


async def test_cancelling_a_task_stops_its_handler_by_signal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "WATCH_S", 60)  # so that only the signal can do it
    probe = Probe()
    bench.start(probe)
    await bench.journal.submit("t", submission(A))
    await within(2, probe.started.wait())
    await asyncio.sleep(0.1)  # the subscription
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    await within(1, probe.cancelled.wait())
    await bench.settled()


async def test_cancelling_a_task_stops_its_handler_without_the_signal(bench: Bench) -> None:
    probe = Probe()
    bench.start(probe, deaf=True)
    await bench.journal.submit("t", submission(A))
    await within(2, probe.started.wait())
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    await within(1, probe.cancelled.wait())
    await bench.settled()


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_revoked_command_stops_and_the_worker_takes_the_next(bench: Bench, deaf: bool) -> None:
    probe = Probe()
    bench.start(probe, deaf=deaf)
    await bench.journal.submit("t", submission(Policy(name="p", k=1)))
    await within(2, probe.started.wait())
    await bench.journal.record("t", DeadlineReached(), once="deadline")  # revokes, and ends without a program
    await within(1, probe.cancelled.wait())
    assert any(isinstance(e.event, CommandsRevoked) for e in await bench.journal.read("t"))
    probe.release.set()
    await bench.journal.submit("next", submission(A))
    await bench.until(lambda s: s.candidates, "next")


@pytest.mark.parametrize("deaf", [False, True])
async def test_tokens_in_flight_when_a_task_is_cancelled_are_counted_as_late(
    bench: Bench, deaf: bool
) -> None:
    server = StreamingServer()
    bench.start(solver(server), deaf=deaf)
    await bench.journal.submit("t", submission(A))
    await within(2, server.streaming.wait())
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    await bench.settled()
    assert await bench.journal.late_tokens("t") == 7
    assert (await bench.state()).usage.tokens_out == 0


async def test_a_call_that_ends_after_its_task_is_counted_late_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "WATCH_S", 60)
    server = StreamingServer()
    bench.start(solver(server), deaf=True)
    await bench.journal.submit("t", submission(A))
    await within(2, server.streaming.wait())
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    assert server.hold
    server.hold.set()
    await bench.settled()
    assert await bench.journal.late_tokens("t") == 3


async def test_a_call_cancelled_while_it_is_recorded_is_counted_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, recorded = FakeModelServer(lambda _: "one two three"), asyncio.Event()
    record = Journal.record

    async def slow_record(self: Journal, task: str, event: AnyEvent, once: str) -> Outcome:
        outcome = await record(self, task, event, once)
        if once.startswith("call:"):
            recorded.set()
            await asyncio.sleep(0.2)
        return outcome

    monkeypatch.setattr(Journal, "record", slow_record)
    bench.start(solver(server))
    await asyncio.sleep(0.1)
    await bench.journal.submit("t", submission(A))
    await within(2, recorded.wait())
    await bench.journal.record("t", TaskCancelled(), once="cancel")
    await bench.settled()
    assert (await bench.state()).usage.tokens_out == 3
    assert await bench.journal.late_tokens("t") == 0
