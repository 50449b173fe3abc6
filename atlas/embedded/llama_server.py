"""llama.cpp's own HTTP server as a child: `python -m atlas.embedded.llama_server --model …`, and its parent.

The child holds xllamacpp (the C++ server in a wheel), so a crash or a leak there cannot take the stack
along. It serves generation and, for the Lens, /embedding (mean pooling) from one model in memory;
measured, embeddings being on does not slow generation (0.5B: 31.3 and 31.0 tokens/s on one thread).
The child's log (`run_dir/llama.log`) has a line `launch_slot_` for each request served.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.catalogue import CATALOGUE
from atlas.config import Settings
from atlas.embedded.gguf import read_header
from atlas.embedded.process import Child, plain_environment
from atlas.errors import StartupError
from atlas.models import ModelFile

BATCH_TOKENS = 2048  # the longest text /embedding takes, and the size of a prefill step
OVERHEAD_BYTES = 256_000_000
READY_TIMEOUT_S = 300.0  # a 9 GB file from a slow disk
ALL_LAYERS = 999

# ---------------------------------------------------------------- the child


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM. Writes its address to `--ready-file` once the model is loaded."""
    options = _parser().parse_args(argv)
    # The default action, also while C++ is loading (a Python handler would wait); there is nothing to flush.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import xllamacpp

    kinds = {device["type"].name.rsplit("_", 1)[1] for device in xllamacpp.get_device_info()}
    if options.gpu_layers and not kinds & {"GPU", "IGPU"}:
        sys.exit(
            "GPU_DEVICE is set, but this xllamacpp sees no such GPU (the default wheel is built for CPUs): "
            "install a CUDA build of xllamacpp, or set LLAMA_URL to a llama-server, or GPU_DEVICE=none"
        )
    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames, params.port = [options.host], options.port
    params.n_ctx, params.n_parallel, params.kv_unified = options.ctx, options.slots, True
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_gpu_layers = options.gpu_layers
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.endpoint_metrics = params.endpoint_props = params.endpoint_slots = True
    params.ui = False
    if options.draft is not None:
        params.speculative.draft.mparams.path = str(options.draft)
        params.speculative.draft.n_gpu_layers = options.gpu_layers
        # A draft model alone never drafts: the kind of speculation must be named too.
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}", flush=True)  # noqa: T201 - the child's log
    if options.ready_file is not None:
        temporary = options.ready_file.with_suffix(".tmp")
        temporary.write_text(server.listening_address, encoding="utf-8")
        temporary.replace(options.ready_file)
    while True:
        signal.pause()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m atlas.embedded.llama_server", description=main.__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="the name /v1/models shows")
    parser.add_argument("--ctx", type=int, required=True, help="tokens of context, shared by all slots")
    parser.add_argument("--slots", type=int, required=True, help="requests served at once")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads for generation")
    parser.add_argument("--gpu-layers", type=int, default=0, help="layers kept on the GPU")
    parser.add_argument("--draft", type=Path, help="GGUF file of a draft model (speculative decoding)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--ready-file", type=Path, help="file to write the address to when ready")
    return parser


# ---------------------------------------------------------------- the parent


@dataclass
class LlamaServer:
    """A running llama-server. `url` is known once `wait_ready` has returned."""

    child: Child
    ready_file: Path
    url: str = ""

    @property
    def port(self) -> int:
        """The port it listens on; give it to `launch` to come back at the same address."""
        return int(self.url.rsplit(":", 1)[1])

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the model is loaded and /health answers 200.

        Raises:
            StartupError: it ended or is not ready in time; quotes its log.
        """
        self.child.wait_ready(self._healthy, timeout_s)

    def _healthy(self) -> bool:
        import httpx

        try:
            url = self.ready_file.read_text(encoding="utf-8").strip()
            healthy = httpx.get(f"{url}/health", timeout=5.0).status_code == 200
        except (FileNotFoundError, httpx.TransportError):
            return False
        self.url = url
        return healthy

    def stop(self) -> None:
        """Stop it; requests being served are cut off."""
        self.child.stop()


def arguments(settings: Settings, model: ModelFile, *, port: int = 0) -> list[str]:
    """Return the child's arguments for these settings."""
    on_gpu = settings.gpu_device != "none"
    # fmt: off
    command = [
        "--model", str(model.path), "--alias", model.name,
        "--ctx", str(settings.context_tokens), "--slots", str(settings.slots),
        "--threads", str(settings.generation_threads),
        "--gpu-layers", str(ALL_LAYERS if on_gpu else 0), "--port", str(port),
    ]
    # fmt: on
    # Speculation slows a CPU down even at 90% acceptance (measured: 23 to 13 tokens/s).
    if on_gpu and model.draft is not None:
        command += ["--draft", str(model.draft)]
    return command


def environment(settings: Settings) -> dict[str, str]:
    """Return the child's environment: no secrets, the chosen GPU only, threads that sleep while idle."""
    device = "" if settings.gpu_device == "none" else str(settings.gpu_device)
    extra = {"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if "LD_LIBRARY_PATH" in os.environ:
        extra["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return plain_environment(**extra)


def launch(settings: Settings, model: ModelFile, *, port: int = 0) -> LlamaServer:
    """Start the child; the model is still loading when this returns.

    Raises:
        StartupError: xllamacpp is not installed, or there is not enough memory.
    """
    import importlib.util

    if importlib.util.find_spec("xllamacpp") is None:
        raise StartupError(
            "xllamacpp is not installed; `pip install 'atlas[embedded]'`, or set LLAMA_URL to a llama-server"
        )
    check_memory(settings, model)
    run_dir = settings.run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    ready_file = run_dir / "llama.url"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "atlas.embedded.llama_server", *arguments(settings, model, port=port)]
    command += ["--ready-file", str(ready_file)]
    child = Child.spawn("llama", command, run_dir, env=environment(settings))
    return LlamaServer(child=child, ready_file=ready_file)


def start(settings: Settings, model: ModelFile, *, port: int = 0) -> LlamaServer:
    """Start the child and wait until it serves.

    Raises:
        StartupError: see `launch` and `LlamaServer.wait_ready`.
    """
    server = launch(settings, model, port=port)
    server.wait_ready()
    return server


# ---------------------------------------------------------------- memory


def memory_needed(settings: Settings, path: Path) -> int:
    """Estimate the child's peak memory in bytes: weights, KV cache, and the largest batch's logits.

    Mean pooling computes logits for all of a 2048-token text, the largest part for a small model.
    Measured peaks: 135M 1.12 GB (estimate 1.25), 0.5B 2.49 GB (2.54), 16k context.
    """
    header = read_header(path)
    weights = path.stat().st_size * 1.1
    cache = settings.context_tokens * header.kv_bytes_per_token
    logits = BATCH_TOKENS * header.vocabulary * 4 * 1.25
    return int(weights + cache + logits) + OVERHEAD_BYTES


def memory_available() -> int:
    """Return the bytes this process and its children may still take: of the machine and of its cgroup."""
    import psutil  # type: ignore[import-untyped]

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
    need, available = memory_needed(settings, model.path), memory_available()
    if need <= available:
        return
    size = model.path.stat().st_size
    smaller = [m for m in CATALOGUE.values() if m.bytes < size and need - (size - m.bytes) * 1.1 <= available]
    if smaller:
        best = max(smaller, key=lambda m: m.bytes)
        advice = f"set MODEL={best.name} (`atlas models pull {best.name}`)"
    else:
        advice = f"lower CONTEXT_TOKENS (now {settings.context_tokens}), free memory"
    raise StartupError(
        f"{model.name} needs about {need / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB are free: "
        f"{advice}, or set LLAMA_URL to a server on another machine"
    )


if __name__ == "__main__":
    main()
