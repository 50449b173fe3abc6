"""The whole stack for real: it comes back at the same address, and no child outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import redis
from embedded_bench import eventually, running, settings_for

from atlas.config import Settings
from atlas.embedded import redis_server, stack
from atlas.embedded.stack import Children
from atlas.errors import ModelFileError, StartupError
from atlas.models import ModelFile


def serves(ready: Settings) -> bool:
    try:
        with redis.Redis.from_url(str(ready.redis_url)) as client:
            return bool(client.ping()) and httpx.get(f"{ready.llama_url}/health").status_code == 200
    except (redis.ConnectionError, httpx.TransportError):
        return False


def redis_only(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, llama_url="http://l", executor_url="unix:/e")


@pytest.mark.integration
@pytest.mark.parametrize("native", [False, True])
async def test_the_stack_fills_in_urls_and_restarts_at_the_same_address(
    native: bool, tmp_path: Path, smol_model: ModelFile, request: pytest.FixtureRequest
) -> None:
    binary = request.getfixturevalue("native_llama") if native else None
    children = Children(settings_for(tmp_path, executor_url="unix:/e", llama_server=binary), smol_model)
    async with children as ready:
        assert ready.executor_url == "unix:/e"
        assert ready.redis_url is not None
        assert ready.llama_url is not None
        state = json.loads((ready.run_dir / "stack.json").read_text())
        assert state["children"] == children.pids
        assert (state["pid"], state["llama_url"]) == (os.getpid(), ready.llama_url)
        before = children.pids
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        after = before
        while any(after[name] == before[name] for name in before):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
            after = json.loads((ready.run_dir / "stack.json").read_text())["children"]
        assert after == children.pids
        await asyncio.to_thread(eventually, lambda: serves(ready), 30)
    assert not (ready.run_dir / "stack.json").exists()
    assert not any(running(pid) for pid in after.values())


@pytest.mark.integration
async def test_two_stacks_on_one_data_dir_are_refused(tmp_path: Path) -> None:
    settings = redis_only(tmp_path)
    async with Children(settings):
        with pytest.raises(StartupError, match=rf"another ATLAS stack \(pid {os.getpid()}\) runs on"):
            await Children(settings).__aenter__()
    async with Children(settings):
        pass


@pytest.mark.integration
async def test_a_child_that_keeps_dying_stops_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "BACKOFF_MOST_S", 0.01)
    children = Children(redis_only(tmp_path))
    async with children:

        async def murder() -> None:
            while True:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(children.pids["redis"], signal.SIGKILL)
                await asyncio.sleep(0.05)

        murderer = asyncio.create_task(murder())
        with pytest.raises(StartupError, match=r"redis failed 5 times in 60 s; giving up"):
            await asyncio.wait_for(children.failed(), 30)
        murderer.cancel()


async def test_a_part_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, model_path=tmp_path / "none.gguf", executor_url="unix:/e")
    with pytest.raises(ModelFileError, match=r"none\.gguf is not a file"):
        await Children(settings).__aenter__()
    async with Children(settings_for(tmp_path, llama_url="x", executor_url="x", redis_url="x")) as ready:
        assert ready.redis_url == "x"  # the lock was released


@pytest.mark.integration
async def test_what_was_launched_before_a_failure_is_stopped(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(ModelFileError, match="header cannot be read"):
        await Children(settings_for(tmp_path, model_path=broken)).__aenter__()
    redis_server.start(tmp_path / "run").stop()  # its files are free again


async def test_a_wrong_hash_stops_the_stack(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "smollm2-135m-instruct-q4_1.gguf").write_bytes(b"GGUF something else")
    with pytest.raises(ModelFileError, match="expected sha256 b179c952"):
        await Children(settings_for(tmp_path, model="smollm2-135m")).__aenter__()


@pytest.mark.integration
def test_kill_9_of_the_parent_takes_every_child_and_leaves_a_restartable_stack(
    tmp_path: Path, smol_model: ModelFile
) -> None:
    program = f"""
import asyncio
from pathlib import Path
from atlas.config import Settings
from atlas.embedded.stack import Children
async def main():
    settings = Settings(data_dir=Path({str(tmp_path)!r}), model_path=Path({str(smol_model.path)!r}),
                        context_tokens=2048, executor_url="unix:/e")
    children = Children(settings)
    async with children:
        print(*children.pids.values(), flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    for _ in range(2):  # the second start follows at once
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pids = [int(word) for word in parent.stdout.readline().split()]
            assert len(pids) == 2
            parent.kill()
    eventually(lambda: not any(running(pid) for pid in pids), timeout_s=2)
