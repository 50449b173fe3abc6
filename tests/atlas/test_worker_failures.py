"""A failure is an event or is waited for, and never the end of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from histories import answer, plainest, submission
from worker_bench import Bench, HastyJournal, Probe, new_bench, plain, within

from atlas import worker as worker_module
from atlas.commands import Command
from atlas.errors import BadInput, BadOutput, InfrastructureError, ModelServerError, NotFound
from atlas.events import AnyEvent, CommandFailed, TaskFailed
from atlas.policy import A
from atlas.worker import MAX_DELIVERIES, Context, Worker

bench = pytest.fixture(new_bench)


class Failing:
    """Raises the given errors, one on each attempt, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attempts = 0

    async def __call__(self, context: Context) -> list[AnyEvent]:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return answer(context.state, context.command, plainest)


async def test_away_machinery_is_waited_for_and_costs_no_delivery(bench: Bench) -> None:
    failing = Failing(ModelServerError("503: loading"), InfrastructureError("away"))
    bench.start(failing)
    await bench.journal.submit("t", submission(A))
    for _ in range(200):
        await asyncio.sleep(0.01)
        if failing.attempts == 2:
            break
    rows = await bench.journal.redis.xpending_range("{atlas}:queue:planner:p1", "workers", "-", "+", 10)
    assert [row["times_delivered"] for row in rows] == [1]
    state = await bench.until(lambda s: s.candidates)
    assert failing.attempts == 3
    assert not state.failures


@pytest.mark.parametrize(
    ("error", "reason", "infrastructure"),
    [
        (ModelServerError("400: prompt too long", retryable=False), "refused", True),
        (BadInput("cannot be served"), "refused", True),
        (NotFound("no such model"), "refused", True),
        (BadOutput("no plans in it"), "bad_output", False),
        (ZeroDivisionError("a bug"), "handler_error", True),
        (KeyError("c7"), "handler_error", True),
        (ValueError("long " * 1000), "handler_error", True),
    ],
)
async def test_a_failure_is_an_event_and_the_worker_lives_on(
    bench: Bench, error: Exception, reason: str, infrastructure: bool
) -> None:
    bench.start(Failing(error))
    await bench.journal.submit("t", submission(A))
    state = await bench.until(lambda s: s.closed)
    failure = state.failures["generate:0"]
    assert failure.reason == reason
    assert str(error)[:100] in failure.detail
    assert isinstance(state.closed, TaskFailed)
    assert state.closed.infrastructure is infrastructure
    await bench.settled()
    await bench.journal.submit("next", submission(A))
    await bench.until(lambda s: s.candidates, "next")


def _nothing(_: Command) -> list[AnyEvent]:
    return []


def _another(_: Command) -> list[AnyEvent]:
    return [CommandFailed(command="generate:9", reason="bad_output")]


def _impossible(command: Command) -> list[AnyEvent]:
    failed = CommandFailed(command=command.id, reason="bad_output")
    return [failed, failed]


@pytest.mark.parametrize("wrong", [_nothing, _another, _impossible])
async def test_a_handler_that_does_not_answer_its_command_is_a_handler_error(
    bench: Bench, wrong: Callable[[Command], list[AnyEvent]]
) -> None:
    async def handler(context: Context) -> list[AnyEvent]:
        return wrong(context.command) if context.task == "t" else await plain(context)

    running = bench.start(handler)
    await bench.journal.submit("t", submission(A))
    await bench.journal.submit("next", submission(A))
    state = await bench.until(lambda s: s.closed)
    assert state.failures["generate:0"].reason == "handler_error"
    await bench.until(lambda s: s.candidates, "next")
    assert not running.done()


async def test_a_journal_that_cannot_be_read_does_not_stop_the_others(bench: Bench) -> None:
    await bench.journal.submit("sick", submission(A))
    await bench.journal.redis.xadd("{atlas}:journal:sick", {"t": "1", "e": '{"type":"FromTheFuture"}'}, "3-0")
    await bench.journal.submit("t", submission(A))
    bench.start(plain, lease_s=15)
    await bench.until(lambda s: s.candidates)


async def test_a_command_delivered_too_often_is_buried(bench: Bench) -> None:
    await bench.journal.open_queues("planner")
    await bench.journal.submit("t", submission(A))
    for i in range(MAX_DELIVERIES):
        delivery = await bench.journal.claim("planner", f"crashes{i}", block_ms=None, lease_s=0)
        assert delivery
        assert delivery.deliveries == i + 1
    probe = Probe()
    bench.start(probe)
    state = await bench.until(lambda s: s.closed)
    assert probe.starts == 0
    assert state.failures["generate:0"].reason == "poisoned"
    assert isinstance(state.closed, TaskFailed)
    assert state.closed.infrastructure
    assert await bench.journal.redis.xlen("{atlas}:dead") == 1


async def test_a_worker_that_starts_before_redis_serves_when_it_is_there(bench: Bench) -> None:
    class Late(HastyJournal):
        tries = 0

        async def open_queues(self, service: str) -> None:
            self.tries += 1
            if self.tries == 1:
                raise worker_module.RedisError("not there yet")
            await super().open_queues(service)

    journal = Late(bench.new_journal().redis)
    bench.running.append(asyncio.create_task(Worker("planner", journal, plain).run()))
    await bench.journal.submit("t", submission(A))
    await within(4, bench.until(lambda s: s.candidates))
