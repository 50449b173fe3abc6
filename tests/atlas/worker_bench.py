"""Shared by the worker tests: workers on a real Redis with short leases, and handlers to watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from histories import SAMPLING, answer, plainest

from atlas.commands import Generate, MakePlans
from atlas.events import AnyEvent
from atlas.journal import Delivery, Journal
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.model_calls import call
from atlas.redis_client import connect
from atlas.state import TaskState, fold
from atlas.worker import Context, Handler, Worker

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


async def new_bench(redis_url: str) -> AsyncIterator[Bench]:
    """Each test file makes a fixture of it."""
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
