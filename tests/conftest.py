"""Shared fixtures: a real Redis on a unix socket, a real llama-server with the smallest model, native builds.

Both are children of the test process and die with it. The model is pulled once into `data/models`
(or `$ATLAS_TEST_MODELS`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from atlas import models
from atlas.config import Settings
from atlas.embedded import llama_server, redis_server
from tests.support import native_llama as native_builds

# A busy machine is no failure: properties are about results.
hypothesis.settings.register_profile("atlas", deadline=None)
hypothesis.settings.load_profile("atlas")

REPO = Path(__file__).parents[1]
SMOL = "smollm2-135m"


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one real embedded Redis for the whole session."""
    server = redis_server.start(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """URL of a real Redis that is empty when the test begins."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url


@pytest.fixture(scope="session")
def smol_model() -> models.ModelFile:
    """SmolLM2-135M, pulled on first use."""
    return _pulled(SMOL)


@pytest.fixture(scope="session")
def coder_model() -> models.ModelFile:
    """Qwen2.5-Coder-0.5B, the default model, pulled on first use."""
    return _pulled("qwen2.5-coder-0.5b")


def _pulled(name: str) -> models.ModelFile:
    directory = Path(os.environ.get("ATLAS_TEST_MODELS") or REPO / "data" / "models")
    path = models.pull(name, directory)
    return models.ModelFile(path=path, sha256=models.sha256_of(path), name=name)


@pytest.fixture(scope="session")
def llama_url(smol_model: models.ModelFile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real llama-server with SmolLM2-135M, 4 slots, 8192 tokens of context."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("llama"), context_tokens=8192, slots=4, threads=1)
    server = llama_server.start(settings, smol_model)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def native_llama() -> Path:
    """The native llama-server with the patches (see tests/support/native_llama.py)."""
    return native_builds.patched()


@pytest.fixture(scope="session")
def stock_llama() -> Path:
    """The same llama-server without the patches."""
    return native_builds.stock()
