"""What `atlas doctor` looks at on the machine: ports, disk, memory, processors, and who may come in."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.doctor import PROBE_S, Check
from atlas.errors import StartupError

if TYPE_CHECKING:
    from atlas.config import Settings

SERVICES = ("gateway", "planner", "lens", "sandbox", "repair")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ROOM_BYTES = 1_000_000_000
QUERY_S = 4.0
KEYS_MEND = "atlas keys create NAME"


def answers(settings: Settings) -> bool:
    """Whether an ATLAS gateway answers where the settings put it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{settings.gateway_url}/healthz", timeout=PROBE_S) as answer:
            body = json.load(answer)
    except (OSError, ValueError, HTTPException):
        return False
    return isinstance(body, dict) and body.get("service") == "gateway"


def ports(settings: Settings, *, running: bool) -> Check:
    """The five ports of `atlas up`: free, or those of the stack that runs."""
    numbers = {name: settings.service_port(name) for name in SERVICES}
    if running:
        return Check("ports", "ok", f"a stack runs: its gateway answers at {settings.gateway_url}")
    taken = [f"{number} ({name})" for name, number in numbers.items() if not _free(number)]
    if taken:
        mend = f"ATLAS_PORT={_free_row(settings.port)} atlas up"
        return Check("ports", "missing", f"taken by another program: {', '.join(taken)}", mend)
    return Check("ports", "ok", f"{numbers['gateway']} to {numbers['repair']} are free")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_row(port: int) -> int:
    """Return the next port, in steps of a hundred, with four free ones behind it."""
    for first in range(port + 100, 65_530, 100):
        if all(_free(first + offset) for offset in range(len(SERVICES))):
            return first
    return port


def data_dir(settings: Settings) -> Check:
    """DATA_DIR, or the directory it would be made in, can be written to."""
    there = _existing(settings.data_dir)
    if os.access(there, os.W_OK | os.X_OK):
        made = "" if there == settings.data_dir else " (will be made)"
        return Check("data", "ok", f"{settings.data_dir}{made}")
    return Check("data", "missing", f"{there} is not writable", "set DATA_DIR to a directory of yours")


def disk(settings: Settings) -> Check:
    """Room for the model that is still to be pulled, and for journals."""
    from atlas import models

    there = _existing(settings.data_dir)
    free = shutil.disk_usage(there).free
    need = ROOM_BYTES
    if settings.llama_url is None and settings.model_path is None:
        model = models.named(settings.model)
        if not (models.models_dir_of(settings) / model.file).is_file():
            need += 2 * model.bytes  # the download, and the file assembled from it
    detail = f"{free / 1e9:.1f} GB free in {there}, {need / 1e9:.1f} GB wanted"
    if free >= need:
        return Check("disk", "ok", detail)
    return Check("disk", "missing", detail, "free some, or set DATA_DIR to a larger disk")


def memory(settings: Settings, *, running: bool) -> Check:
    """Memory for the model, before it is loaded."""
    from atlas import models
    from atlas.embedded.llama_server import check_memory, memory_available, memory_needed

    available = memory_available()
    detail = f"{available / 1e9:.1f} GB free"
    if settings.llama_url is not None or settings.gpu_device != "none" or running:
        return Check("memory", "ok", detail)
    path = settings.model_path or models.models_dir_of(settings) / models.named(settings.model).file
    if not path.is_file():
        return Check("memory", "ok", f"{detail}; what the model needs can be told once it is there")
    name = settings.model if settings.model_path is None else path.stem
    try:
        check_memory(settings, models.ModelFile(path, "", name))
    except StartupError as error:
        short, _, advice = str(error).partition(": ")
        return Check("memory", "missing", short, advice)
    need = memory_needed(settings, path)
    told = (
        "what the model needs cannot be told"
        if need is None
        else f"the model needs about {need / 1e9:.1f} GB"
    )
    return Check("memory", "ok", f"{detail}, {told}")


def cpu(settings: Settings) -> Check:
    """Threads and sandbox jobs that fit the processors there are."""
    cores = len(os.sched_getaffinity(0))
    detail = f"{cores} cores; {settings.generation_threads} threads, {settings.execution_jobs} sandbox jobs"
    if settings.generation_threads > cores:
        return Check("cpu", "warning", f"{detail}: more threads than cores are slower", "set THREADS=0")
    if settings.execution_jobs > 2 * cores:
        mend = "set SANDBOX_JOBS=0"
        return Check("cpu", "warning", f"{detail}: programs will run into their time limits", mend)
    return Check("cpu", "ok", detail)


def gpu(settings: Settings) -> Check:
    """GPU_DEVICE names a GPU there is, and the model server can use it."""
    from atlas.embedded.llama_server import must_see_gpu

    present = _gpus()
    if settings.gpu_device == "none":
        if present:
            return Check("gpu", "warning", f"not used: {present[0]}", "ATLAS_GPU_DEVICE=0 atlas up")
        return Check("gpu", "ok", "none, and none is asked for")
    if settings.gpu_device >= len(present):
        mend = "set GPU_DEVICE to an index of `nvidia-smi -L`, or to none"
        return Check("gpu", "missing", f"GPU_DEVICE={settings.gpu_device}, there are {len(present)}", mend)
    if settings.llama_url is None and settings.llama_server is not None:
        must_see_gpu(settings)  # refuses in the words of `atlas up`
    elif settings.llama_url is None and not _xllamacpp_sees_gpu():
        mend = "./scripts/build-llama-server.sh cuda"
        return Check("gpu", "missing", "this xllamacpp is built for CPUs", mend)
    return Check("gpu", "ok", present[settings.gpu_device])


def _gpus() -> list[str]:
    """Return the lines of `nvidia-smi -L`; none without it."""
    return _output(["nvidia-smi", "-L"]).splitlines()


def _xllamacpp_sees_gpu() -> bool:
    program = "import xllamacpp; print([d['type'].name for d in xllamacpp.get_device_info()])"
    return "GPU'" in _output([sys.executable, "-c", program])


def _output(command: list[str]) -> str:
    """Return what a command prints; nothing if it fails, or takes longer than a doctor may."""
    try:
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=QUERY_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout if ran.returncode == 0 else ""


def access(settings: Settings) -> Check:
    """A gateway that listens beyond this machine lets nobody in without a key."""
    from atlas.running_stack import redis_url_of

    if settings.host in LOOPBACK:
        return Check("access", "ok", f"{settings.host}: this machine only, no key is asked for")
    open_to = f"{settings.host}: beyond this machine, where every client needs a key"
    try:
        count = asyncio.run(_keys(redis_url_of(settings)))
    except StartupError:
        return Check("access", "warning", f"{open_to}; start the stack, then make one", KEYS_MEND)
    if not count:
        return Check("access", "warning", f"{open_to}, and there is none", KEYS_MEND)
    return Check("access", "ok", f"{open_to}; keys made: {count}")


async def _keys(url: str) -> int:
    """Return how many keys open the gateway.

    Raises:
        StartupError: if its Redis cannot be asked.
    """
    from redis.exceptions import RedisError

    from atlas.api_keys import ApiKeys
    from atlas.redis_client import connect

    redis = connect(url)
    try:
        await asyncio.wait_for(redis.ping(), PROBE_S)
        return len([key for key in await ApiKeys(redis).list() if not key.expired])
    except (RedisError, asyncio.TimeoutError) as error:
        raise StartupError("Redis cannot be reached") from error
    finally:
        await redis.aclose()


def _existing(path: Path) -> Path:
    """Return the nearest directory that is there, `path` itself or one above it."""
    while not path.is_dir():
        path = path.parent
    return path
