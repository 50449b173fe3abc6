"""The model server of a stack: llama.cpp's own, as a child.

Either the native build that LLAMA_SERVER names, or xllamacpp in a process of its own (`llama_child`). Both
take the same command line (`llama_flags`). The child's log (`run_dir/llama.log`) has a line `launch_slot_`
for each request served.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from atlas.catalogue import CATALOGUE
from atlas.config import Settings
from atlas.embedded import drafting
from atlas.embedded.llama_child import BATCH_TOKENS
from atlas.embedded.llama_flags import flags, variables
from atlas.embedded.process import Child, plain_environment
from atlas.errors import ModelSizeUnknown, StartupError
from atlas.memory_plan import Load, Models
from atlas.model_size import read_size
from atlas.models import ModelFile

NATIVE_BATCH = 512  # llama-server's own physical batch, to which embeddings limit the logical one
READY_TIMEOUT_S = 300.0  # a 9 GB file from a slow disk
QUERY_S = 20.0  # a CUDA build looks for its GPUs first
PATCHED = "-atlas-"  # in the version of what services/llama-server/build.sh built


@dataclass
class LlamaServer:
    """A running llama-server, `drafts` if it has a draft model. `wait_ready` finds out its `url`."""

    child: Child
    drafts: bool = False
    url: str = ""

    @property
    def port(self) -> int:
        """The port it listens on; give it to `launch` to come back at the same address."""
        return int(self.url.rsplit(":", 1)[1])

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the model is loaded and /health answers 200; with a draft model, see that it drafts.

        Raises:
            StartupError: it ended, is not ready in time (quotes its log), or does not draft.
        """
        self.child.wait_ready(self._healthy, timeout_s)
        if self.drafts:
            try:
                drafting.must_draft(self.url)
            except StartupError:
                self.stop()
                raise

    def _healthy(self) -> bool:
        import httpx

        url = self._listens_at()
        if url is None:
            return False
        try:
            healthy = httpx.get(f"{url}/health", timeout=5.0, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
        self.url = url
        return healthy

    def _listens_at(self) -> str | None:
        """Return where the child listens, as the kernel tells: whatever port it was given, or took."""
        import psutil  # type: ignore[import-untyped]

        try:
            sockets = psutil.Process(self.child.pid).net_connections(kind="tcp")
        except psutil.Error:
            return None
        listening = [s.laddr for s in sockets if s.status == psutil.CONN_LISTEN]
        return f"http://{listening[0].ip}:{listening[0].port}" if listening else None

    def stop(self) -> None:
        """Stop it; requests being served are cut off."""
        self.child.stop()


def command(settings: Settings, model: ModelFile, *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """Return what is started for these settings; port 0: any free one."""
    if settings.llama_server is not None:
        server = [str(settings.llama_server)]
    else:
        server = [sys.executable, "-m", "atlas.embedded.llama_child"]
    return [*server, *flags(settings, model, host=host, port=port)]


def environment(settings: Settings) -> dict[str, str]:
    """Return the child's environment: no secrets, the chosen GPU only, threads that sleep while idle."""
    extra = variables(settings)
    if "LD_LIBRARY_PATH" in os.environ:
        extra["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return plain_environment(**extra)


def must_work(settings: Settings, model: ModelFile) -> None:
    """Refuse, before anything is loaded, what cannot work.

    Raises:
        StartupError: there is no server to start, it cannot use the GPU that is asked for, there is not
            enough memory, or the draft model has other tokens.
        ModelFileError: a model's header cannot be read.
    """
    import importlib.util

    if settings.llama_server is not None:
        version(settings.llama_server)
        must_see_gpu(settings)
    elif importlib.util.find_spec("xllamacpp") is None:
        raise StartupError(
            "xllamacpp is not installed; `pip install 'atlas[embedded]'`, or set LLAMA_SERVER to what "
            "./scripts/build-llama-server.sh builds, or LLAMA_URL to a llama-server"
        )
    if model.draft is not None:
        drafting.must_match(model.path, model.draft)
    check_memory(settings, model)


def launch(settings: Settings, model: ModelFile, *, port: int = 0) -> LlamaServer:
    """Start the child; the model is still loading when this returns.

    Raises:
        StartupError: see `must_work`.
        ModelFileError: see `must_work`.
    """
    must_work(settings, model)
    child = Child.spawn(
        "llama", command(settings, model, port=port), settings.run_dir, env=environment(settings)
    )
    return LlamaServer(child, drafts=model.draft is not None)


def start(settings: Settings, model: ModelFile, *, port: int = 0) -> LlamaServer:
    """Start the child and wait until it serves.

    Raises:
        StartupError: see `launch` and `LlamaServer.wait_ready`.
        ModelFileError: see `launch`.
    """
    server = launch(settings, model, port=port)
    server.wait_ready()
    return server


# ---------------------------------------------------------------- the native build


def version(binary: Path) -> str:
    """Return what a llama-server calls itself: version, build number and commit.

    Raises:
        StartupError: it cannot be run.
    """
    said = _ask(binary, "--version")
    return next((line for line in said.splitlines() if line.startswith("version:")), said.strip()[:200])


def must_see_gpu(settings: Settings) -> None:
    """Refuse a build that would quietly run on the CPU although GPU_DEVICE is set.

    Raises:
        StartupError: LLAMA_SERVER sees no GPU.
    """
    if settings.gpu_device == "none" or settings.llama_server is None:
        return
    devices = _ask(settings.llama_server, "--list-devices", environment(settings))
    # "Available devices:", then one line each, as in "  CUDA0: NVIDIA GeForce RTX 5060 Ti (16 MiB, ...)".
    if not any(line.startswith("  ") and ":" in line for line in devices.splitlines()):
        raise StartupError(
            f"GPU_DEVICE={settings.gpu_device}, but {settings.llama_server} sees no such GPU: build it with "
            "`./scripts/build-llama-server.sh cuda`, see that `nvidia-smi` works, or set GPU_DEVICE=none"
        )


def _ask(binary: Path, question: str, env: dict[str, str] | None = None) -> str:
    advice = "build it again (./scripts/build-llama-server.sh), or clear LLAMA_SERVER"
    try:
        ran = subprocess.run(
            [binary, question], capture_output=True, text=True, timeout=QUERY_S, check=False, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartupError(f"LLAMA_SERVER={binary} cannot be run ({error}); {advice}") from error
    if ran.returncode:
        how = ran.stderr.strip()[-300:] or f"exit code {ran.returncode}"
        raise StartupError(f"LLAMA_SERVER={binary} does not work on this machine ({how}); {advice}")
    return ran.stdout + ran.stderr


# ---------------------------------------------------------------- memory


def memory_needed(settings: Settings, path: Path, draft: Path | None = None) -> int | None:
    """Return the bytes the child may come to take, on the CPU; None where a model's header does not tell.

    Measured peaks with 16k context, after a text of 2040 tokens was embedded: xllamacpp 135M 1.39 GB (counted
    1.61), 0.5B 3.37 GB (3.51); the patched native server 0.5B 1.42 GB (1.58); each counted without the old
    prompts that the server may come to keep.
    """
    load = Load(settings.context_tokens, settings.slots, settings.kv_type, batch_tokens(settings))
    try:
        models = Models(read_size(path), read_size(draft) if draft else None, load.batch)
    except ModelSizeUnknown:
        return None
    return models.plan(load, draft=draft is not None, gpu=False).bytes


def batch_tokens(settings: Settings) -> int:
    """Return how many tokens the server that is started computes at once."""
    return BATCH_TOKENS if settings.llama_server is None else NATIVE_BATCH


def memory_available() -> int:
    """Return the bytes this process and its children may still take: of the machine and of its cgroup."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return available
    return available if limit == "max" else min(available, max(0, int(limit) - used))


def check_memory(settings: Settings, model: ModelFile) -> None:
    """Refuse to start what would be killed for want of memory. A GPU's memory is not looked at.

    Raises:
        StartupError: says how much is needed, how much there is, and what to choose instead.
    """
    if settings.gpu_device != "none":
        return
    need, available = memory_needed(settings, model.path, model.draft), memory_available()
    if need is None or need <= available:
        return
    size = model.path.stat().st_size
    smaller = [m for m in CATALOGUE.values() if m.bytes < size and need - (size - m.bytes) <= available]
    if smaller:
        best = max(smaller, key=lambda m: m.bytes)
        advice = f"set MODEL={best.name} (`atlas models pull {best.name}`)"
    else:
        advice = f"lower CONTEXT_TOKENS (now {settings.context_tokens}), free memory"
    raise StartupError(
        f"{model.name} needs about {need / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB are free: "
        f"{advice}, or set LLAMA_URL to a server on another machine"
    )
