"""Journal and queue on a real Redis: no interleaving, crash, theft or duplicate does harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest
from histories import Pick, answer, model_call, picking, plainest, submission, submissions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlas.commands import PRIORITIES, SERVICES
from atlas.events import CommandFailed, DeadlineReached, TaskCancelled, TaskSubmitted
from atlas.journal import BLOB_OVER_BYTES, Delivery, Journal, Outcome
from atlas.policy import FULL, A
from atlas.redis_client import connect
from atlas.state import InvalidHistory, TaskState, fold


class InterruptedJournal(Journal):
    """Lets a test act between reading the journal and appending to it, where real workers collide."""

    interrupt: Callable[[], Awaitable[object]] | None = None

    async def state(self, task: str) -> TaskState:
        state = await super().state(task)
        if self.interrupt:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()
        return state


class Worker:
    """A worker reduced to its steps, so that a test can stop between any two of them."""

    def __init__(self, url: str, name: str) -> None:
        self.journal = InterruptedJournal(connect(url))
        self.name = name
        self.held: Delivery | None = None

    async def claim(self, lease_s: float = 1000) -> None:
        for service in SERVICES:
            self.held = await self.journal.claim(service, self.name, block_ms=None, lease_s=lease_s)
            if self.held:
                return

    async def record(self) -> None:
        assert self.held
        command = self.held.command.id
        if command.startswith(("plans", "generate")):
            await self.journal.record(self.held.task, model_call(command), once=f"call:{command}/code")

    async def finish(self, pick: Pick, interrupt: Callable[[], Awaitable[object]] | None = None) -> None:
        assert self.held
        held, self.held = self.held, None
        state = await self.journal.state(held.task)
        if state.closed or state.done(held.command.id):
            await self.journal.drop(held)
            return
        events = answer(state, held.command, pick)
        self.journal.interrupt = interrupt
        outcome = await self.journal.finish(held, events)
        assert outcome is not Outcome.CONFLICT


ACTIONS = [
    *("claim", "finish", "collide") * 5,
    *("record", "steal", "finish twice", "crash", "heartbeat") * 2,
    *("submit again", "deadline", "cancel"),
]


class Simulation:
    """Three workers on one or two tasks; each step is one action of one of them, picked by hypothesis."""

    def __init__(self, url: str, pick: Pick, submitted: list[TaskSubmitted]) -> None:
        self.url, self.pick = url, pick
        self.journal = Journal(connect(url))
        self.workers = [Worker(url, f"w{i}") for i in range(3)]
        self.tasks = {f"t{i}": event for i, event in enumerate(submitted)}

    async def run(self, steps: int) -> None:
        try:
            await self._run(steps)
        finally:
            for journal in [self.journal, *(worker.journal for worker in self.workers)]:
                await journal.redis.aclose()

    async def _run(self, steps: int) -> None:
        await self.journal.redis.flushall()
        for service in SERVICES:
            await self.journal.open_queues(service)
        for task, event in self.tasks.items():
            assert await self.journal.submit(task, event)
        for _ in range(steps):
            await self.act(self.pick(ACTIONS), self.pick(self.workers), self.pick(list(self.tasks)))
            for task in self.tasks:  # the fold raises on anything answered twice, unasked for, or too late
                fold(TaskState(), await self.journal.read(task))
        await self.drain()
        await self.check_the_end()

    async def act(self, action: str, worker: Worker, task: str) -> None:
        if action in ("claim", "steal"):
            for idle in self.workers:
                if idle.held is None:
                    await idle.claim(lease_s=0 if action == "steal" else 1000)
        elif action == "submit again":
            assert not await self.journal.submit(task, self.tasks[task])
        elif action == "deadline":
            await self.journal.record(task, DeadlineReached(), once="deadline")
        elif action == "cancel":
            await self.journal.record(task, TaskCancelled(), once="cancel")
        elif action == "crash":  # the process is gone, with its caches; its delivery stays pending
            await worker.journal.redis.aclose()
            self.workers[self.workers.index(worker)] = Worker(self.url, worker.name + "'")
        elif worker.held:
            await self.work(action, worker, worker.held)

    async def work(self, action: str, worker: Worker, held: Delivery) -> None:
        if action == "record":
            await worker.record()
        elif action == "heartbeat":
            await worker.journal.extend(held)
        elif action == "finish":
            await worker.finish(self.pick)
        elif action == "finish twice":
            await worker.finish(self.pick)
            failed = CommandFailed(command=held.command.id, reason="bad_output", detail="again")
            assert await worker.journal.finish(held, [failed]) in (Outcome.ANSWERED, Outcome.CLOSED)
        elif action == "collide":
            await worker.finish(self.pick, self.interruption(worker, held.task))

    def interruption(self, worker: Worker, task: str) -> Callable[[], Awaitable[object]]:
        """What happens between the worker's fold and its append: a conflict, or a late answer."""
        others = [w for w in self.workers if w is not worker and w.held and w.held.task == task]
        if others and self.pick([True, True, True, False]):
            other = self.pick(others)
            return self.pick([lambda: other.finish(self.pick), other.record])
        if self.pick([True, False]):
            return lambda: self.journal.record(task, model_call("extra", str(uuid4())), once=str(uuid4()))
        return lambda: self.journal.record(task, DeadlineReached(), once="deadline")

    async def drain(self) -> None:
        """A last worker that never fails takes over everything."""
        last = Worker(self.url, "last")
        self.workers.append(last)
        for _ in range(300):
            await last.claim(lease_s=0)
            if last.held is None:
                break
            await last.finish(plainest)

    async def check_the_end(self) -> None:
        for task in self.tasks:
            state = fold(TaskState(), await self.journal.read(task))
            assert state.closed is not None, "every task ends"
            assert not state.open
        for service in SERVICES:
            for priority in PRIORITIES:
                queue = f"{{atlas}}:queue:{service}:{priority}"
                assert await self.journal.redis.xlen(queue) == 0, "nothing is left on a queue"
                assert (await self.journal.redis.xpending(queue, "workers"))["pending"] == 0
        assert await self.journal.redis.zcard("{atlas}:deadlines") == 0


@given(data=st.data(), submitted=st.lists(submissions(), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_interleaving_loses_or_repeats_anything(
    redis_server_url: str, data: st.DataObject, submitted: list[TaskSubmitted]
) -> None:
    asyncio.run(Simulation(redis_server_url, picking(data), submitted).run(steps=40))


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    for service in SERVICES:
        await journal.open_queues(service)
    yield journal
    await journal.redis.aclose()


async def claimed(journal: Journal, service: str = "planner", lease_s: float = 1000) -> Delivery:
    delivery = await journal.claim(service, "me", block_ms=None, lease_s=lease_s)
    assert delivery
    return delivery


async def test_a_task_is_submitted_once(journal: Journal) -> None:
    assert await journal.submit("t", submission(A))
    assert not await journal.submit("t", submission(FULL))
    entries = await journal.read("t")
    assert [entry.event.type for entry in entries] == ["TaskSubmitted", "CommandsIssued"]
    assert [entry.seq for entry in entries] == [1, 2]


async def test_higher_priority_comes_first_and_then_the_oldest(journal: Journal) -> None:
    for task, priority in [("a", "p2"), ("b", "p1"), ("c", "p0"), ("d", "p1")]:
        await journal.submit(task, submission(A).model_copy(update={"priority": priority}))
    assert [(await claimed(journal)).task for _ in range(4)] == ["c", "b", "d", "a"]


async def test_a_blocked_claim_wakes_for_new_work(journal: Journal) -> None:
    waiting = asyncio.create_task(journal.claim("planner", "me", block_ms=5000))
    await asyncio.sleep(0.05)
    await journal.submit("t", submission(A))
    delivery = await asyncio.wait_for(waiting, 1)
    assert delivery
    assert delivery.task == "t"


async def test_a_lease_that_runs_out_goes_to_another_and_the_first_is_told(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    first = await claimed(journal)
    assert await journal.claim("planner", "other", block_ms=None, lease_s=1000) is None
    second = await journal.claim("planner", "other", block_ms=None, lease_s=0)
    assert second
    assert second.deliveries == 2
    assert not await journal.extend(first)
    assert await journal.extend(second)


async def test_a_poisoned_command_is_buried_in_one_step(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    await journal.bury(await claimed(journal))
    state = await journal.state("t")
    assert state.failures["generate:0"].reason == "poisoned"
    assert state.closed
    assert await journal.redis.xlen("{atlas}:dead") == 1
    assert await journal.redis.xlen("{atlas}:queue:planner:p1") == 0


async def test_a_recorded_call_is_taken_once_and_a_late_one_only_counted(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    call = model_call("generate:0")
    assert await journal.record("t", call, once="call:generate:0/code") is Outcome.OK
    assert await journal.record("t", call, once="call:generate:0/code") is Outcome.ANSWERED
    assert await journal.record("t", TaskCancelled(), once="cancel") is Outcome.OK
    assert await journal.record("t", model_call("generate:0", "more"), once="call:x") is Outcome.CLOSED
    assert await journal.late_tokens("t") == 10
    assert (await journal.state("t")).usage.tokens_out == 5


async def test_an_impossible_event_is_an_error_not_an_endless_loop(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    with pytest.raises(InvalidHistory):
        await journal.record("t", CommandFailed(command="nonsense", reason="bad_output"), once="x")


async def test_long_events_live_in_blobs_and_read_back_whole(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    call = model_call("generate:0").model_copy(update={"prompt": "x" * 2 * BLOB_OVER_BYTES})
    await journal.record("t", call, once="call")
    raw = await journal.redis.xrange("{atlas}:journal:t")
    assert all(len(fields["e"]) <= BLOB_OVER_BYTES for _, fields in raw)
    assert (await journal.read("t"))[-1].event == call


async def test_deadlines_fall_due_by_the_servers_clock(journal: Journal) -> None:
    await journal.submit("soon", submission(A).model_copy(update={"deadline_s": 0.001}))
    await journal.submit("later", submission(A))
    await asyncio.sleep(1.1)
    [(task, overdue_s)] = await journal.due()
    assert task == "soon"
    assert 0 <= overdue_s <= 3
    await journal.record("soon", DeadlineReached(), once="deadline")
    assert await journal.due() == []


async def test_tasks_are_listed_newest_first_in_pages(journal: Journal) -> None:
    for task in "abc":
        await journal.submit(task, submission(A))
    page = await journal.tasks(2)
    assert [task for task, _ in page] == ["c", "b"]
    assert [task for task, _ in await journal.tasks(2, before=page[-1][1])] == ["a"]


async def test_stop_signals_name_the_task(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    stopped = journal.stopped()
    hearing = asyncio.ensure_future(stopped.__anext__())
    await asyncio.sleep(0.05)
    await journal.record("t", TaskCancelled(), once="cancel")
    assert await asyncio.wait_for(hearing, 1) == "t"
    await stopped.aclose()
