"""The runner and a gateway that is open to the network: which key it sends, and what it says without one."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from runner_bench import four_problems

from atlas.api_keys import ApiKeys
from atlas.config import Settings
from atlas.redis_client import connect
from services.gateway.app import create
from tests.support.gateway_bench import llama, served

pytestmark = pytest.mark.integration
RUNNER = Path(__file__).parents[2] / "benchmark" / "v3_runner.py"
dataset = pytest.fixture(four_problems)


async def refusal(url: str, dataset: Path, directory: Path, *more: str, **variables: str) -> str:
    """What the runner says when it cannot run; one that gets in finds no policy of that name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    arguments = ["--dataset", str(dataset), "--target", url, "--condition", "Z", "--runs-dir", str(directory)]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(RUNNER), *arguments, *more),
        cwd=directory,
        env=environment | variables,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 1, err
    return err.decode()


async def test_a_key_opens_the_gateway_and_its_absence_is_told(
    redis_url: str, dataset: Path, tmp_path: Path
) -> None:
    async with await asyncio.start_server(llama, "127.0.0.1", 0) as listening:
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        app = create(Settings(redis_url=redis_url, llama_url=address, host="0.0.0.0"))
        store: Redis = connect(redis_url)
        async with store, served(app) as url:
            key, _ = await ApiKeys(store).create("benchmark")
            none, wrong, right, variable = await asyncio.gather(
                refusal(url, dataset, tmp_path),
                refusal(url, dataset, tmp_path, "--api-key", "atlas_wrong"),
                refusal(url, dataset, tmp_path, "--api-key", key),
                refusal(url, dataset, tmp_path, ATLAS_API_KEY=key),
            )
    assert "an API key is needed" in none
    assert "ATLAS_API_KEY" in none
    assert "this API key is not valid" in wrong
    for said in (right, variable):
        assert "no policy 'Z'" in said
        assert key not in said
