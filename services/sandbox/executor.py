"""The executor: untrusted programs in, outputs out, over HTTP. No Redis, no secrets, no expected outputs.

    python -m services.sandbox.executor (--uds PATH | --host H --port P | --check) [--jobs N]

Many requests share `jobs` run slots; one request never holds more than that many of them queued, so a
thousand-input request does not starve the next.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from atlas.contracts import Contract, Limits
from atlas.errors import StartupError
from atlas.executor import ExecuteRequest, ExecuteResponse
from atlas.problem_json import add_errors
from services.sandbox.runner import Runner
from services.sandbox.selfcheck import self_check

GRACE_S = 3
LISTEN_BACKLOG = 128
MAX_BODY_BYTES = 128_000_000  # a thousand inputs, some of them large


class Environment(Contract):
    """What a program finds here."""

    python: str
    implementation: str
    machine: str
    isolation: str
    jobs: int
    default_limits: Limits


def create_app(runner: Runner) -> FastAPI:
    """The HTTP face of a runner; closes it when the server stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        runner.close()

    app = FastAPI(title="ATLAS sandbox executor", lifespan=lifespan)
    add_errors(app, MAX_BODY_BYTES)

    @app.post("/v1/execute")
    def execute(request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs, in order."""
        return runner.execute(request)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """It serves only after its self-check, so whoever gets an answer may send programs."""
        return {"status": "ok", "isolation": runner.isolation}

    @app.get("/v1/environment")
    async def environment() -> Environment:
        """What a program finds here."""
        return Environment(
            python=platform.python_version(),
            implementation=platform.python_implementation(),
            machine=platform.machine(),
            isolation=runner.isolation,
            jobs=runner.jobs,
            default_limits=Limits(),
        )

    return app


def listen(uds: str | None, host: str, port: int) -> socket.socket:
    """The listening socket: bound before the server starts, so a taken address is a clear error.

    Raises:
        StartupError: the address is taken or not ours to bind.
    """
    try:
        return socket.create_server((host, port), backlog=LISTEN_BACKLOG) if uds is None else _listen_uds(uds)
    except OSError as error:
        where = uds or f"{host}:{port}"
        raise StartupError(f"cannot listen on {where}: {error}; choose another --uds or --port") from error


def _listen_uds(path: str) -> socket.socket:
    _remove_stale(Path(path))
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # whoever may connect may run programs: the owner alone
    try:
        server.bind(path)
        server.listen(LISTEN_BACKLOG)
    except OSError:
        server.close()
        raise
    finally:
        os.umask(mask)
    return server


def _remove_stale(path: Path) -> None:
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def main(argv: Sequence[str] | None = None) -> int:
    """Check the sandbox, then serve until SIGTERM or SIGINT. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m services.sandbox.executor", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", help="listen on this Unix socket")
    where.add_argument("--port", type=int, help="listen on this TCP port")
    where.add_argument("--check", action="store_true", help="try the sandbox, print its isolation, and exit")
    parser.add_argument("--host", default="127.0.0.1", help="address for --port (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=0, help="programs at once (default: one per core)")
    arguments = parser.parse_args(argv)
    try:
        if arguments.check:
            sys.stdout.write(f"{self_check()}\n")
            return 0
        runner = Runner.start(jobs=arguments.jobs)
        server_socket = listen(arguments.uds, arguments.host, arguments.port or 0)
    except StartupError as error:
        sys.stderr.write(f"{error.title}: {error}\n")
        return 1
    # uvicorn raises the signal that stopped it once more at the end: a clean stop should exit with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(create_app(runner), log_level="warning", timeout_graceful_shutdown=GRACE_S)
    uvicorn.Server(config).run(sockets=[server_socket])
    runner.close()
    if arguments.uds:
        Path(arguments.uds).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
