"""The executor: untrusted programs in, outputs out, over HTTP (`routes`). No Redis, no secrets.

    python -m services.sandbox.executor (--uds PATH | --host H --port P | --check) [--jobs N]
        [--isolation auto | namespaces | pod | gvisor]

Many requests share `jobs` run slots; one request never holds more than that many of them queued, so a
thousand-input request does not starve the next.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import uvicorn

from atlas.errors import StartupError
from services.sandbox.isolation import Wanted
from services.sandbox.routes import create_app
from services.sandbox.runner import Runner

GRACE_S = 3
LISTEN_BACKLOG = 128


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
    arguments = _parser().parse_args(argv)
    try:
        if arguments.check:
            return _check(arguments.isolation)
        runner = Runner.start(jobs=arguments.jobs, isolation=arguments.isolation)
    except StartupError as error:
        return _cannot(error)
    try:
        server_socket = listen(arguments.uds, arguments.host, arguments.port or 0)
    except StartupError as error:
        runner.close()
        return _cannot(error)
    # uvicorn raises the signal that stopped it once more at the end: a clean stop should exit with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(create_app(runner), log_level="warning", timeout_graceful_shutdown=GRACE_S)
    uvicorn.Server(config).run(sockets=[server_socket])
    runner.close()
    if arguments.uds:
        Path(arguments.uds).unlink(missing_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.sandbox.executor", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", help="listen on this Unix socket")
    where.add_argument("--port", type=int, help="listen on this TCP port")
    where.add_argument("--check", action="store_true", help="try the sandbox, print its isolation, and exit")
    parser.add_argument("--host", default="127.0.0.1", help="address for --port (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=0, help="programs at once (default: one per core)")
    parser.add_argument(
        "--isolation",
        choices=get_args(Wanted),
        default="auto",
        help="refuse to start without this level; auto takes the strongest that works (default: %(default)s)",
    )
    return parser


def _check(wanted: Wanted) -> int:
    """Print the isolation that holds here; on stderr, why no stronger one does."""
    runner = Runner.start(jobs=1, isolation=wanted)
    try:
        sys.stdout.write(f"{runner.isolation}\n")
        if runner.why_not_stronger:
            sys.stderr.write(f"{runner.why_not_stronger}\n")
    finally:
        runner.close()
    return 0


def _cannot(error: StartupError) -> int:
    sys.stderr.write(f"{error.title}: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
