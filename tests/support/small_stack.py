"""The real gateway and workers over a real Redis, in a thread; only model and executor are scripted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from queue import Queue

import uvicorn

from atlas.cancellation import cancel
from atlas.config import Settings
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.journal import Journal
from atlas.lens.table import Shelf
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.redis_client import connect
from atlas.worker import Worker
from services.gateway.app import create
from services.lens.energy import Scorer
from services.lens.worker import handler as lens
from services.planner.worker import handler as planner
from services.repair.worker import handler as repair
from services.sandbox.worker import handler as sandbox


def doubling(code: str, text: str) -> Run:
    """Run `print(int(input()) * N)` as if it were Python; anything else fails."""
    if not code.startswith("print(int(input()) * "):
        return Run(status=RunStatus.RUNTIME_ERROR, error="Traceback:\nNameError: name 'x' is not defined")
    return Run(status=RunStatus.OK, output=str(int(text) * int(code.strip()[21:-1])))


def program(code: str) -> str:
    """An answer of the model that holds a program."""
    return f"```python\n{code}\n```"


def right(request: CompletionRequest) -> str:
    """A model that doubles."""
    return program("print(int(input()) * 2)")


@dataclass
class SmallStack:
    """Where it is, and the model: set `script` to have it say something else, `hold` to have it wait."""

    url: str
    model: FakeModelServer
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the stack's thread."""
        self.loop.call_soon_threadsafe(function)


async def _alias(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All the gateway asks of a model server: /health, /props and /apply-template."""
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"status": "ok", "model_alias": "fake", "prompt": ""}'
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


Ready = Callable[[str, asyncio.AbstractEventLoop, asyncio.Event], None]


async def _serve(settings: Settings, model: FakeModelServer, workers: bool, ready: Ready) -> None:
    """Serve until the event that `ready` is told of is set."""
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        listening = await stack.enter_async_context(await asyncio.start_server(_alias, "127.0.0.1", 0))
        llama = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        redis = connect(str(settings.redis_url))
        stack.push_async_callback(redis.aclose)
        journal = Journal(redis)
        handlers = {
            "planner": planner(model, slots=2),
            "lens": lens(model, Scorer(Shelf(()))),
            "sandbox": sandbox(FakeExecutor(doubling)),
            "repair": repair(model),
        }
        working = [
            asyncio.ensure_future(Worker(name, journal, handler).run())
            for name, handler in handlers.items()
            if workers
        ]
        app = create(settings.model_copy(update={"llama_url": llama}))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        serving = asyncio.ensure_future(server._serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        ready(url, asyncio.get_running_loop(), stopping)
        await stopping.wait()
        server.should_exit = True
        await serving
        await cancel(*working)


@contextmanager
def small_stack(redis_url: str, *, workers: bool = True) -> Iterator[SmallStack]:
    """Run the stack until the end of the context."""
    model = FakeModelServer(right)
    told: Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()
    serving = _serve(Settings(redis_url=redis_url), model, workers, lambda *where: told.put(where))
    thread = threading.Thread(target=asyncio.run, args=(serving,))
    thread.start()
    url, loop, stopping = told.get(timeout=20)
    try:
        yield SmallStack(url, model, loop)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
