"""llama.cpp's own HTTP server in a process of its own: `python -m atlas.embedded.llama_child --model ...`.

It holds xllamacpp (the C++ server in a wheel, no compiler needed), so a crash or a leak there cannot take the
stack along. Its arguments are those of llama-server itself, as far as `llama_flags` uses them: the same
command line starts either.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from atlas.config import KvType

KV_TYPES = get_args(KvType)
BATCH_TOKENS = 2048  # the longest text /embedding takes, and the size of a prefill step


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    options = _parser().parse_args(argv)
    # The default action, also while C++ is loading (a Python handler would wait); there is nothing to flush.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import xllamacpp

    kinds = {device["type"].name.rsplit("_", 1)[1] for device in xllamacpp.get_device_info()}
    if options.gpu_layers and not kinds & {"GPU", "IGPU"}:
        sys.exit(
            "GPU_DEVICE is set, but this xllamacpp sees no such GPU (the default wheel is built for CPUs): "
            "set LLAMA_SERVER to what `./scripts/build-llama-server.sh cuda` builds, install a CUDA build of "
            "xllamacpp, or set LLAMA_URL to a llama-server, or GPU_DEVICE=none"
        )
    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames, params.port = [options.host], options.port
    params.n_ctx, params.n_parallel, params.kv_unified = (
        options.ctx_size,
        options.parallel,
        options.kv_unified,
    )
    params.cache_ram_mib = options.cache_ram
    params.embedding = options.embeddings
    params.pooling_type = getattr(
        xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{options.pooling.upper()}"
    )
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    types = {kind: getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kind.upper()}") for kind in KV_TYPES}
    params.cache_type_k, params.cache_type_v = types[options.cache_type_k], types[options.cache_type_v]
    params.n_gpu_layers = options.gpu_layers
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads_batch
    params.endpoint_metrics, params.endpoint_slots = options.metrics, options.slots
    params.ui = not options.no_ui
    if options.spec_draft_model is not None:
        params.speculative.draft.mparams.path = str(options.spec_draft_model)
        params.speculative.draft.n_gpu_layers = options.gpu_layers
        params.speculative.draft.cache_type_k = types[options.spec_draft_type_k]
        params.speculative.draft.cache_type_v = types[options.spec_draft_type_v]
    if options.spec_type is not None:
        kind = f"COMMON_SPECULATIVE_TYPE_{options.spec_type.upper().replace('-', '_')}"
        params.speculative.types = [getattr(xllamacpp.common_speculative_type, kind)]
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}", flush=True)  # noqa: T201 - the child's log
    while True:
        signal.pause()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlas.embedded.llama_child", description=main.__doc__, allow_abbrev=False
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    for count in ("--ctx-size", "--parallel", "--cache-ram", "--threads", "--threads-batch", "--gpu-layers"):
        parser.add_argument(count, type=int, required=True)
    for kind in ("--cache-type-k", "--cache-type-v", "--spec-draft-type-k", "--spec-draft-type-v"):
        parser.add_argument(kind, choices=KV_TYPES, default="f16")
    parser.add_argument("--pooling", default="none")
    for switch in ("--kv-unified", "--embeddings", "--metrics", "--slots", "--no-ui"):
        parser.add_argument(switch, action="store_true")
    parser.add_argument("--spec-draft-model", type=Path)
    parser.add_argument("--spec-type")
    return parser


if __name__ == "__main__":
    main()
