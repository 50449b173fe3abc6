"""Settings as llama-server's command line and environment: one mapping for every server that is started.

That is the child with xllamacpp, the native build (LLAMA_SERVER), and the container (services/llama-server).
"""

from __future__ import annotations

import os

from atlas.config import Settings
from atlas.memory_plan import OLD_PROMPTS_MIB, OLD_PROMPTS_MIB_BESIDE_GPU
from atlas.models import ModelFile

ALL_LAYERS = 999


def flags(settings: Settings, model: ModelFile, *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """Return llama-server's arguments; port 0: any free one.

    It serves generation and, for the Lens, /embedding (mean pooling) from one model in memory; measured,
    embeddings being on does not slow generation (0.5B: 31.3 and 31.0 tokens/s on one thread).
    """
    on_gpu = settings.gpu_device != "none"
    # fmt: off
    command = [
        "--model", str(model.path), "--alias", model.name, "--host", host, "--port", str(port),
        "--ctx-size", str(settings.context_tokens), "--parallel", str(settings.slots), "--kv-unified",
        "--cache-type-k", settings.kv_type, "--cache-type-v", settings.kv_type,
        "--cache-ram", str(OLD_PROMPTS_MIB_BESIDE_GPU if on_gpu else OLD_PROMPTS_MIB),
        # One thread more than needed only spins; batches (prompts, several streams) do use every core.
        "--threads", str(settings.generation_threads),
        "--threads-batch", str(settings.threads or os.cpu_count() or 1),
        "--gpu-layers", str(ALL_LAYERS if on_gpu else 0),
        "--embeddings", "--pooling", "mean", "--metrics", "--slots", "--no-ui",
    ]
    # fmt: on
    if model.draft is not None:
        command += ["--spec-draft-type-k", settings.kv_type, "--spec-draft-type-v", settings.kv_type]
        # A draft model alone never drafts: the kind of speculation must be named too.
        command += ["--spec-draft-model", str(model.draft), "--spec-type", "draft-simple"]
    return command


def variables(settings: Settings) -> dict[str, str]:
    """Return what the server's environment must say: the chosen GPU only, threads that sleep while idle."""
    device = "" if settings.gpu_device == "none" else str(settings.gpu_device)
    return {"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
