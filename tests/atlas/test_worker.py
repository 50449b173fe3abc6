"""Workers on a real Redis, with fake handlers: what is asked is answered once, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from histories import SAMPLING, answer, plainest, submission

from atlas import worker as worker_module
from atlas.contracts import (
    AnyEvent,
    Command,
    CommandFailed,
    CommandsRevoked,
    DeadlineReached,
    ExecutionFinished,
    Generate,
    MakePlans,
    TaskCancelled,
    TaskDecided,
    TaskFailed,
)
from atlas.errors import BadInput, BadOutput, InfrastructureError, ModelServerError, NotFound
from atlas.journal import Delivery, Journal, Outcome
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.model_calls import call
from atlas.policy import A, Policy
from atlas.redis_client import connect
from atlas.state import TaskState, fold
from atlas.worker import MAX_DELIVERIES, Context, Handler, Worker

LEASE_S = 0.5


class HastyJournal(Journal):
    """Short leases, and tests may make it deaf to the stop signals."""

    lease_s = LEASE_S
    deaf = False

    async def claim(
        self, service: str, consumer: str, block_ms: int | None = 200, lease_s: float | None = None
    ) -> Delivery | None:
        return await super().claim(service, consumer, block_ms, self.lease_s if lease_s is None else lease_s)

    async def stopped(self) -> AsyncIterator[str]:
        if self.deaf:
            await asyncio.Event().wait()
        async for task in super().stopped():
            yield task


class Bench:
    """Starts workers and journals, and clears them all away in the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.journals: list[HastyJournal] = []
        self.running: list[asyncio.Task[None]] = []
        self.journal = self.new_journal()

    def new_journal(self) -> HastyJournal:
        self.journals.append(HastyJournal(connect(self.url)))
        return self.journals[-1]

    def start(self, handler: Handler, service: str = "planner", **options: object) -> asyncio.Task[None]:
        journal = self.new_journal()
        journal.deaf = bool(options.pop("deaf", False))
        journal.lease_s = float(options.pop("lease_s", LEASE_S))  # type: ignore[arg-type]
        worker = Worker(service, journal, handler, **options)  # type: ignore[arg-type]
        self.running.append(asyncio.create_task(worker.run()))
        return self.running[-1]

    def start_process(self, handler: Handler, concurrency: int = 1) -> asyncio.Task[None]:
        """One worker of each service on one connection pool, as one process that can be killed."""
        journal = self.new_journal()
        workers = [Worker(name, journal, handler, concurrency) for name in ("planner", "lens", "sandbox")]

        async def run() -> None:
            await asyncio.gather(*(worker.run() for worker in workers))

        self.running.append(asyncio.create_task(run()))
        return self.running[-1]

    async def kill(self, running: asyncio.Task[None]) -> None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    async def close(self) -> None:
        for running in self.running:
            running.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        for journal in self.journals:
            await journal.redis.aclose()

    async def state(self, task: str = "t") -> TaskState:
        """Fold the journal from its first entry: this also proves that it is a possible history."""
        return fold(TaskState(), await self.journal.read(task))

    async def until(self, condition: Callable[[TaskState], object], task: str = "t") -> TaskState:
        for _ in range(1000):
            if condition(state := await self.state(task)):
                return state
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came: {await self.journal.read(task)}")

    async def pending(self, service: str = "planner") -> int:
        return (await self.journal.redis.xpending(f"{{atlas}}:queue:{service}:p1", "workers"))["pending"]

    async def settled(self, service: str = "planner") -> None:
        """Wait until nothing is in a worker's hands."""
        for _ in range(500):
            if await self.pending(service) == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a delivery was never acknowledged")


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    bench = Bench(redis_url)
    yield bench
    await bench.close()


async def within(seconds: float, waiting: Awaitable[object]) -> None:
    await asyncio.wait_for(waiting, seconds)


class Probe:
    """A handler that waits to be let go, and tells what became of it."""

    def __init__(self) -> None:
        self.started, self.cancelled, self.release = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.starts = 0

    async def __call__(self, context: Context) -> list[AnyEvent]:
        self.starts += 1
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return answer(context.state, context.command, plainest)


class StreamingServer(FakeModelServer):
    """Streams seven tokens, then nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__(lambda _: "one two three", hold=asyncio.Event())
        self.streaming = asyncio.Event()

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        assert on_tokens
        on_tokens(7)
        self.streaming.set()
        return await super().complete(request, lambda tokens: on_tokens(tokens - 7))


def solver(server: FakeModelServer, after_call: Callable[[], Awaitable[object]] | None = None) -> Handler:
    """A handler of every service; the planner's part makes one model call for each command."""

    async def handle(context: Context) -> list[AnyEvent]:
        if isinstance(context.command, Generate | MakePlans):
            prompt = f"{context.task} {context.command.id}"
            await call(context, server, "code", CompletionRequest(prompt=prompt, sampling=SAMPLING))
            if after_call:
                await after_call()
        return answer(context.state, context.command, plainest)

    return handle


async def plain(context: Context) -> list[AnyEvent]:
    return answer(context.state, context.command, plainest)


# ---------------------------------------------------------------- carrying out


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
    await asyncio.sleep(0.05)
    await bench.settled()
    assert await bench.journal.redis.xlen("{atlas}:queue:planner:p1") == 0
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


# ---------------------------------------------------------------- stopping


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


# ---------------------------------------------------------------- leases


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


# ---------------------------------------------------------------- failing


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


# ---------------------------------------------------------------- many


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
    """Takes a while, and notes which calls came back."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(lambda _: "text")
        self.chance = chance
        self.made, self.returned = Counter[str](), Counter[str]()

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        self.made[request.prompt] += 1
        await asyncio.sleep(self.chance.uniform(0.005, 0.08))
        result = await super().complete(request, on_tokens)
        self.returned[request.prompt] += 1
        return result


@pytest.mark.usefixtures("fast_watch")
async def test_a_swarm_whose_workers_are_killed_at_random_loses_and_repeats_nothing(bench: Bench) -> None:
    chance = random.Random(20)
    server = SwarmServer(chance)
    processes = [bench.start_process(solver(server)) for _ in range(4)]
    tasks = [f"t{i}" for i in range(10)]
    for i, task in enumerate(tasks):
        await bench.journal.submit(
            task, submission(Policy(name="p", k=4, plans=i % 2, stop_after_passing=i % 3))
        )
    for _ in range(14):
        await asyncio.sleep(chance.uniform(0.02, 0.12))
        victim = chance.randrange(len(processes))
        await bench.kill(processes[victim])
        processes[victim] = bench.start_process(solver(server))
    for task in tasks:
        state = await bench.until(lambda s: s.closed, task)
        assert not state.open
        assert isinstance(state.closed, TaskDecided)
        assert len(state.calls) == len({c for c in state.issued if c.startswith(("plans", "generate"))})
    assert server.made.total() > server.returned.total(), "no call was in flight at any kill: kill more"
    assert set(server.returned.values()) == {1}, "a call that came back was made again"
    for service in ("planner", "sandbox", "lens"):
        await bench.settled(service)
