"""The worker every service runs: take a command, carry it out, append what came of it, issue what follows.

A handler is an async function `(Context) -> list of events` that answers exactly one command. It may be
cancelled at any await (its command was revoked, its task closed, its lease lost) and may be run again after
a crash; model calls it recorded are not made again, because `Context.calls` still holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import Counter, Histogram
from redis.exceptions import RedisError

from atlas.cancellation import cancel
from atlas.commands import AnyCommand
from atlas.errors import BadInput, BadOutput, InfrastructureError, SchemaTooNew
from atlas.events import ANSWERS, AnyEvent, CommandFailed, TaskFailed, TaskSubmitted
from atlas.journal import LEASE_S, Delivery, Journal, Outcome
from atlas.pipeline import advance
from atlas.state import InvalidHistory, TaskState, apply

log = logging.getLogger(__name__)

MAX_DELIVERIES = 5
WATCH_S = 0.5
HEARTBEAT_S = LEASE_S / 3
BACKOFF_CAP_S = 10.0

COMMANDS = Counter("atlas_commands_total", "Commands taken from the queue", ["service", "kind", "outcome"])
SECONDS = Histogram(
    "atlas_command_seconds",
    "Time from pick-up to the appended answer",
    ["service", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)


@dataclass
class Context:
    """What a handler may know and do: its command, the task's state, and recording model calls.

    `lost_tokens` and `lost_s` are of its calls that failed for good; see `CommandFailed`.
    Without a journal (a direct REST call) events are only folded into `state`.
    """

    task: str
    command: AnyCommand
    state: TaskState
    journal: Journal | None = None
    tokens_in_flight: int = 0
    lost_tokens: int = 0
    lost_s: float = 0.0

    async def record(self, event: AnyEvent, once: str) -> TaskState:
        """Append an event that does not answer the command, and return the state after it.

        Raises:
            asyncio.CancelledError: if the task has closed meanwhile.
        """
        if self.journal is None:
            self.state = apply(self.state, event)
            return self.state
        # Shielded: what has happened is recorded, and counted, even if this command is cancelled meanwhile.
        if await asyncio.shield(self.journal.record(self.task, event, once)) is Outcome.CLOSED:
            raise asyncio.CancelledError
        self.state = await self.journal.state(self.task)
        return self.state

    async def lose_tokens(self) -> None:
        """Count what a call that failed had already drawn: tokens that came to nothing, as late ones are."""
        lost, self.tokens_in_flight = self.tokens_in_flight, 0
        if self.journal is not None:
            await asyncio.shield(self.journal.count_late(self.task, lost))


def direct(submitted: TaskSubmitted, command: AnyCommand) -> Context:
    """Return the context of a command asked for over REST, outside any task.

    Raises:
        BadInput: if the policy allows no work at all.
    """
    state = advance(TaskState(), [submitted]).state
    if isinstance(state.closed, TaskFailed):
        raise BadInput(state.closed.reason)
    return Context("direct", command, state)


Handler = Callable[[Context], Awaitable["list[AnyEvent]"]]


@dataclass
class Worker:
    """Serves one service's queues, `concurrency` commands at a time. `run` returns when it is cancelled."""

    service: str
    journal: Journal
    handler: Handler
    concurrency: int = 1
    _running: dict[str, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set))

    async def run(self) -> None:
        """Serve until cancelled; ride out Redis being away."""
        tasks = [asyncio.ensure_future(loop) for loop in (self._listen(), self._take())]
        try:
            await asyncio.gather(*tasks)
        finally:
            await cancel(*tasks)

    async def _listen(self) -> None:
        """Wake the watchers of a stopped task at once; they look again by themselves every half second."""
        while True:
            try:
                async for task in self.journal.stopped():
                    for wake in self._running.get(task, ()):
                        wake.set()
            except RedisError as error:
                log.warning("%s: stop signals interrupted: %s", self.service, error)
                await asyncio.sleep(1)

    async def _take(self) -> None:
        """Ask for one command after another while a consumer is free for it, and serve them side by side.

        One loop asks for all of them, so that an idle service costs Redis the same whatever its concurrency.
        """
        name = f"{socket.gethostname()}-{os.getpid()}-{id(self):x}"
        free: asyncio.LifoQueue[str] = asyncio.LifoQueue()
        for i in range(self.concurrency):
            free.put_nowait(f"{name}-{i}")
        serving: set[asyncio.Task[None]] = set()
        opened = False
        try:
            while True:
                consumer = await free.get()
                delivery: Delivery | None = None
                async with self._patience():
                    if not opened:
                        await self.journal.open_queues(self.service)
                    opened = False  # should it fail: Redis may have come back empty
                    delivery = await self.journal.claim(self.service, consumer)
                    opened = True
                if delivery is None:
                    free.put_nowait(consumer)
                    continue
                work = asyncio.create_task(self._serve_and_free(delivery, consumer, free))
                serving.add(work)
                work.add_done_callback(serving.discard)
        finally:
            await cancel(*serving)

    async def _serve_and_free(self, delivery: Delivery, consumer: str, free: asyncio.LifoQueue[str]) -> None:
        try:
            async with self._patience():
                await self.serve(delivery)
        finally:
            free.put_nowait(consumer)

    @contextlib.asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Say what goes wrong inside, and wait a second: one sick journal must not stop the others."""
        try:
            yield
            return
        except RedisError as error:
            log.warning("%s: Redis is away: %s", self.service, error)
        except SchemaTooNew as error:  # during an upgrade: a newer worker takes it
            log.warning("%s: left to a newer worker: %s", self.service, error)
        except Exception:  # the command comes back
            log.exception("%s: a command could not be served", self.service)
        await asyncio.sleep(1)

    async def serve(self, delivery: Delivery) -> None:
        """Carry out one delivered command, to its appended answer."""
        kind = delivery.command.kind
        with SECONDS.labels(self.service, kind).time():
            try:
                outcome = await self._serve(delivery)
            except SchemaTooNew:
                await self.journal.give_back(delivery)
                raise
        COMMANDS.labels(self.service, kind, outcome).inc()

    async def _serve(self, delivery: Delivery) -> str:
        if delivery.deliveries > MAX_DELIVERIES:
            await self.journal.bury(delivery)
            return "poisoned"
        state = await self.journal.state(delivery.task)
        if state.closed or state.done(delivery.command.id):
            await self.journal.drop(delivery)
            return "unwanted"
        context = Context(delivery.task, delivery.command, state, self.journal)
        work = asyncio.create_task(self._answer(context))
        try:
            await self._attend(delivery, work)
        finally:
            await cancel(work)
        if work.cancelled():
            if not await self.journal.wanted(delivery):
                await self.journal.drop(delivery, context.tokens_in_flight)
            return "abandoned"
        return (await self._finish(delivery, work.result())).value

    async def _finish(self, delivery: Delivery, events: list[AnyEvent]) -> Outcome:
        try:
            return await self.journal.finish(delivery, events)
        except InvalidHistory as error:
            log.exception("%s: %s has an impossible answer", delivery.task, delivery.command.id)
            command, detail = delivery.command.id, _detail(f"impossible answer: {error}")
            failed = CommandFailed(command=command, reason="handler_error", detail=detail)
            return await self.journal.finish(delivery, [failed])

    async def _attend(self, delivery: Delivery, work: asyncio.Task[list[AnyEvent]]) -> None:
        """Wait for the work, but no longer than it has a point: wanted, and still ours."""
        wake = asyncio.Event()
        work.add_done_callback(lambda _: wake.set())
        self._running[delivery.task].add(wake)
        loop = asyncio.get_running_loop()
        beat = loop.time() + HEARTBEAT_S
        try:
            while not work.done():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(wake.wait(), WATCH_S)
                wake.clear()
                if work.done() or not await self.journal.wanted(delivery):
                    return
                if loop.time() >= beat:
                    if not await self.journal.extend(delivery):
                        return
                    beat = loop.time() + HEARTBEAT_S
        finally:
            self._running[delivery.task].discard(wake)
            if not self._running[delivery.task]:
                del self._running[delivery.task]

    async def _answer(self, context: Context) -> list[AnyEvent]:
        """Run the handler; wait and try again while the machinery is away, and make an event of a failure."""
        command = context.command.id
        delay = 0.25
        while True:
            try:
                events = await self.handler(context)
                if not any(isinstance(event, ANSWERS) and event.command == command for event in events):
                    raise TypeError("the handler did not answer its command")
                return events
            except BadOutput as error:
                return [_failed(context, "bad_output", error)]
            except BadInput as error:
                return [_failed(context, "refused", error)]
            except InfrastructureError as error:
                if not error.retryable:
                    return [_failed(context, "refused", error)]
                log.warning("%s: %s waits: %s", context.task, command, error)
            except RedisError:
                raise
            except Exception as error:
                log.exception("%s: %s failed", context.task, command)
                return [_failed(context, "handler_error", f"{type(error).__name__}: {error}")]
            await asyncio.sleep(delay)
            delay = min(delay * 2, BACKOFF_CAP_S)


def _failed(
    context: Context, reason: Literal["bad_output", "refused", "handler_error"], error: object
) -> CommandFailed:
    return CommandFailed(
        command=context.command.id,
        reason=reason,
        detail=_detail(error),
        lost_tokens=context.lost_tokens,
        lost_s=context.lost_s,
    )


def _detail(error: object) -> str:
    return str(error)[:2000]
