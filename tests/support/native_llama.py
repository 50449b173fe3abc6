"""The native llama-server that tests run against: patched, and the same tree without patches.

`benchmark.native_llama.serve` starts one with given flags on a free port.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

BUILD = Path(__file__).parents[2] / "services" / "llama-server" / "build.sh"


def patched() -> Path:
    """Return the patched binary: `$ATLAS_TEST_LLAMA_SERVER`, or the cached build (made if need be)."""
    given = os.environ.get("ATLAS_TEST_LLAMA_SERVER")
    return Path(given) if given else _built()


def stock() -> Path:
    """Return the unpatched binary: `$ATLAS_TEST_LLAMA_STOCK`, or that of the same build."""
    given = os.environ.get("ATLAS_TEST_LLAMA_STOCK")
    return Path(given) if given else _built().with_name("llama-server-stock")


@functools.cache
def _built() -> Path:
    """Build both: minutes, once for each state of services/llama-server. build.sh prints the path."""
    done = subprocess.run([BUILD, "cpu", "--with-stock"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())
