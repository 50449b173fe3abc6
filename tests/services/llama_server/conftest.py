"""Servers for the tests of the patches: the patched binary, and the same tree without patches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.models import ModelFile
from benchmark.native_llama import NativeLlama, serve


@pytest.fixture(scope="package")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama-server")


@pytest.fixture(scope="package")
def patched(native_llama: Path, smol_model: ModelFile, logs: Path) -> Iterator[NativeLlama]:
    """The patched server; /embedding averages unless told otherwise, 128 tokens to a batch."""
    flags = ("--pooling", "mean", "--batch-size", "128", "--ubatch-size", "128")
    with serve(native_llama, smol_model.path, logs / "patched.log", *flags) as server:
        yield server


@pytest.fixture(scope="package")
def stock(stock_llama: Path, smol_model: ModelFile, logs: Path) -> Iterator[NativeLlama]:
    """The unpatched server, whose /embedding gives one row for each token."""
    flags = ("--pooling", "none", "--batch-size", "2048", "--ubatch-size", "2048")
    with serve(stock_llama, smol_model.path, logs / "stock.log", *flags) as server:
        yield server
