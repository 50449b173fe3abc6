"""`atlas up`, `serve`, `worker`: the stack, one of its services, one more worker."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli_common import ConfigOption, settings_of
from atlas.errors import StartupError

if TYPE_CHECKING:
    from atlas.config import Settings


class Service(str, Enum):
    """A service of the stack."""

    GATEWAY = "gateway"
    PLANNER = "planner"
    LENS = "lens"
    SANDBOX = "sandbox"
    REPAIR = "repair"


class WorkerKind(str, Enum):
    """A service that has a worker."""

    PLANNER = "planner"
    LENS = "lens"
    SANDBOX = "sandbox"
    REPAIR = "repair"


def up(
    pull: Annotated[bool, typer.Option("--pull", help="fetch the model first if it is missing")] = False,
    processes: Annotated[
        bool, typer.Option("--processes", help="run each service in a process of its own")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Start the stack here: gateway, four workers, Redis, llama-server and the sandbox. Ctrl-C stops it.

    Redis, llama-server and the executor are started as children unless REDIS_URL, LLAMA_URL or
    EXECUTOR_URL point elsewhere. With --processes each service is a child too: one that dies is started
    again and nothing it was asked is lost. Logs: DATA_DIR/run/NAME.log.

    Examples:
      atlas up
      atlas up --pull                # fetch the model first
      atlas up --processes           # as on a cluster, in processes of their own
      ATLAS_PORT=9000 atlas up
    """
    from atlas.embedded.up import run

    run(settings_of(config), pull=pull, processes=processes)


def serve(
    service: Annotated[Service, typer.Argument(help="which service")],
    fd: Annotated[
        int | None, typer.Option("--fd", help="serve on this inherited listening socket", metavar="N")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="address to listen on (else HOST for the gateway, 127.0.0.1)", metavar="ADDRESS"
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run one service, its app and its worker, until it is stopped; for stacks that are put together by hand.

    It needs REDIS_URL, and LLAMA_URL or EXECUTOR_URL where its work does; its port follows from PORT. With
    --host it listens there, which its neighbours may need for health checks; a gateway that is then reached
    from elsewhere asks for keys, as with HOST.

    Examples:
      ATLAS_REDIS_URL=redis://box:6379 ATLAS_LLAMA_URL=http://box:8080 atlas serve planner
      ATLAS_REDIS_URL=redis://box:6379 ATLAS_LLAMA_URL=http://box:8080 atlas serve gateway --host 0.0.0.0
    """
    from atlas.embedded.apps import listen, log_to_stderr

    settings = settings_of(config)
    if host is not None and service is Service.GATEWAY:
        settings = settings.model_copy(update={"host": host})  # by which it tells who needs a key
    log_to_stderr(settings)
    with listen(settings, service.value, host) if fd is None else socket.socket(fileno=fd) as listener:
        asyncio.run(_serve(settings, service.value, listener))


async def _serve(settings: Settings, name: str, listener: socket.socket) -> None:
    from atlas.embedded.apps import serve, stop_signal

    async with stop_signal() as stopping:
        await serve(settings, {name: listener}, {stopping})


def worker(
    kind: Annotated[WorkerKind, typer.Argument(help="which kind of worker")],
    config: ConfigOption = None,
) -> None:
    """Add a worker: it takes commands off the same queues as the others, so they share the work. No port.

    It joins the stack that runs on this DATA_DIR, or the parts that REDIS_URL, LLAMA_URL and EXECUTOR_URL
    name. Ctrl-C takes it away again; what it had in hand goes to another worker.

    Examples:
      atlas worker sandbox
      ATLAS_REDIS_URL=redis://box:6379 ATLAS_LLAMA_URL=http://box:8080 atlas worker planner
    """
    from atlas.embedded.apps import log_to_stderr

    settings = joined(settings_of(config))
    log_to_stderr(settings)
    asyncio.run(_work(settings, kind.value))


async def _work(settings: Settings, name: str) -> None:
    from atlas.embedded.apps import stop_signal, work

    async with stop_signal() as stopping:
        await work(settings, name, stopping)


def joined(settings: Settings) -> Settings:
    """Fill in what the settings leave out from the stack that runs on this DATA_DIR.

    Raises:
        StartupError: there is none, and REDIS_URL is not set.
    """
    from atlas.running_stack import find

    stack = find(settings.run_dir)
    ours = stack is not None and settings.redis_url in (None, stack.redis_url)
    if stack is None or not ours:
        if settings.redis_url is None:
            raise StartupError(
                f"no stack runs on {settings.data_dir}: start one with `atlas up`, or set REDIS_URL "
                "(and LLAMA_URL or EXECUTOR_URL) to the parts of one elsewhere"
            )
        return settings
    urls = {
        "redis_url": stack.redis_url,
        "llama_url": settings.llama_url or stack.llama_url,
        "executor_url": settings.executor_url or stack.executor_url,
    }
    return settings.model_copy(update=urls)
