"""Embedded servers for real: they start, die with their parent, come back at the same address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import redis

from atlas.config import Settings
from atlas.embedded import executor_server, gguf, llama_server, redis_server, stack
from atlas.embedded.process import PLAIN_ENV, Child, plain_environment, short_socket
from atlas.embedded.stack import Children
from atlas.errors import ModelFileError, StartupError
from atlas.models import ModelFile

SLEEPER = [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True); time.sleep(600)",
]


def eventually(check: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def serves(ready: Settings) -> bool:
    try:
        with redis.Redis.from_url(str(ready.redis_url)) as client:
            return bool(client.ping()) and httpx.get(f"{ready.llama_url}/health").status_code == 200
    except (redis.ConnectionError, httpx.TransportError):
        return False


# ---------------------------------------------------------------- any child


def test_a_child_is_logged_and_stopped(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", SLEEPER, tmp_path)
    eventually(lambda: child.tail() == "hello")
    assert os.getpgid(child.pid) == child.pid  # Ctrl-C in our terminal does not reach it
    child.stop()
    assert not child.alive
    child.stop()
    assert "was killed by SIGTERM" in child.ended()


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    child = Child.spawn("deaf", DEAF, tmp_path)
    eventually(lambda: child.tail() == "deaf")
    child.stop(timeout_s=0.2)
    assert child.popen.returncode == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; p = subprocess.Popen({SLEEPER!r}); print(p.pid, flush=True); p.wait()"
    child = Child.spawn("nested", [sys.executable, "-c", nested], tmp_path)
    eventually(lambda: "hello" in child.tail())
    inner = int(child.tail().splitlines()[0])
    child.stop()
    eventually(lambda: not running(inner))


def test_a_child_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    child = Child.spawn("broken", [sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path)
    with pytest.raises(StartupError, match=r"broken exited with 3; the end of .*broken\.log:\nwhy"):
        child.wait_ready(lambda: False, timeout_s=10)


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    child = Child.spawn("idle", SLEEPER, tmp_path)
    with pytest.raises(StartupError, match="idle was not ready after 0 s"):
        child.wait_ready(lambda: False, timeout_s=0.1)
    assert not child.alive


def test_a_command_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    child = Child.spawn("nothing", ["/no/such/program"], tmp_path)
    with pytest.raises(StartupError, match="No such file"):
        child.wait_ready(lambda: False, timeout_s=10)


def test_the_log_of_an_earlier_run_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text("old news\n")
    child = Child.spawn("quiet", [sys.executable, "-c", ""], tmp_path)
    eventually(lambda: not child.alive)
    assert child.tail() == ""


def test_children_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from atlas.embedded.process import Child\n"
        f"print(Child.spawn('s', {SLEEPER!r}, Path({str(tmp_path)!r})).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: "hello" in (tmp_path / "s.log").read_text())
        parent.kill()
    eventually(lambda: not running(pid), timeout_s=2)


def test_a_long_run_dir_gets_a_short_private_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    first, second = short_socket(deep, "redis.sock"), short_socket(deep, "redis.sock")
    assert first == second
    assert len(os.fsencode(first)) < 108
    assert first.parent.stat().st_mode & 0o777 == 0o700
    first.parent.chmod(0o755)
    with pytest.raises(StartupError, match="not a private directory"):
        short_socket(deep, "redis.sock")
    first.parent.rmdir()
    assert short_socket(Path("/run"), "redis.sock") == Path("/run/redis.sock")


def test_secrets_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_REDIS_URL", "redis://:secret@h/0")
    environment = plain_environment(A="1")
    assert set(environment) <= {*PLAIN_ENV, "A"}
    assert environment["A"] == "1"
    assert environment["PATH"] == os.environ["PATH"]


# ---------------------------------------------------------------- Redis


def test_no_server_anywhere_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"apt-get install redis-server.*REDIS_URL"):
        redis_server.find_server()


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert redis_server.find_server() == tmp_path / name


@pytest.mark.integration
def test_redis_keeps_what_was_written_when_it_is_killed(tmp_path: Path) -> None:
    server = redis_server.start(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        assert client.config_get("appendfsync", "maxmemory-policy", "port") == {
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "port": "0",
        }
    server.child.kill()
    again = redis_server.start(tmp_path)
    with redis.Redis.from_url(again.url) as client:
        assert client.get("key") == b"value"
    again.stop()
    assert again.url == server.url


@pytest.mark.integration
def test_two_servers_never_share_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = redis_server.start(tmp_path)
    monkeypatch.setattr(redis_server, "LOCK_PATIENCE_S", 0.1)
    with pytest.raises(StartupError, match="a Redis server already uses"):
        redis_server.start(tmp_path)
    server.stop()


@pytest.mark.integration
def test_a_deep_data_dir_works(tmp_path: Path) -> None:
    server = redis_server.start(tmp_path / ("d" * 100))
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
    server.stop()
    server.socket.parent.rmdir()


# ---------------------------------------------------------------- llama-server


def test_too_little_memory_says_how_much_and_what_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.gguf"
    with large.open("wb") as file:
        file.truncate(9_000_000_000)
    header = gguf.Header("llama", layers=40, kv_width=1024, vocabulary=150_000, context=40_960)
    monkeypatch.setattr(llama_server, "read_header", lambda _: header)
    monkeypatch.setattr(llama_server, "memory_available", lambda: 6_000_000_000)
    model = ModelFile(large, "0" * 64, "large")
    with pytest.raises(StartupError) as caught:
        llama_server.check_memory(Settings(), model)
    assert "large needs about 14.4 GB of memory and 6.0 GB are free" in str(caught.value)
    assert "set MODEL=qwen2.5-coder-1.5b" in str(caught.value)
    monkeypatch.setattr(llama_server, "memory_available", lambda: 1_000_000_000)
    with pytest.raises(StartupError, match=r"lower CONTEXT_TOKENS \(now 16384\)"):
        llama_server.check_memory(Settings(), model)
    llama_server.check_memory(Settings(gpu_device=0), model)


def test_a_damaged_header_is_no_traceback(tmp_path: Path) -> None:
    for content in (b"", b"GGUF", b"GGUF" + b"\xff" * 100, b"nope" * 10):
        (tmp_path / "m.gguf").write_bytes(content)
        with pytest.raises(ModelFileError, match="header cannot be read"):
            gguf.read_header(tmp_path / "m.gguf")


def test_without_xllamacpp_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"pip install 'atlas\[embedded\]'.*LLAMA_URL"):
        llama_server.launch(Settings(data_dir=tmp_path), ModelFile(tmp_path / "m", "", "m"))


@pytest.mark.integration
def test_header_of_a_real_model(smol_model: ModelFile) -> None:
    header = gguf.read_header(smol_model.path)
    assert header == gguf.Header("llama", layers=30, kv_width=192, vocabulary=49_152, context=8192)
    assert header.kv_bytes_per_token == 23_040


@pytest.mark.integration
def test_one_server_generates_and_embeds(llama_url: str) -> None:
    with httpx.Client(base_url=llama_url, timeout=60) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/v1/models").json()["data"][0]["id"] == "smollm2-135m"
        assert len(client.get("/slots").json()) == 4
        assert client.get("/props").json()["total_slots"] == 4
        assert "llamacpp:" in client.get("/metrics").text
        answer = client.post("/completion", json={"prompt": "def f(x):", "n_predict": 4}).json()
        assert answer["tokens_predicted"] == 4
        embedding = client.post("/embedding", json={"content": "word " * 700}).json()
        assert len(embedding[0]["embedding"][0]) == 576


@pytest.mark.integration
def test_a_gpu_that_is_not_there_stops_the_start(smol_model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"sees no such GPU[\s\S]*LLAMA_URL"):
        llama_server.start(settings_for(tmp_path, gpu_device=63), smol_model)


@pytest.mark.integration
def test_a_draft_model_drafts_beside_embeddings(
    smol_model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = llama_server.arguments

    def with_draft(settings: Settings, model: ModelFile, *, port: int = 0) -> list[str]:
        return [*on_cpu(settings, model, port=port), "--draft", str(model.path)]

    monkeypatch.setattr(llama_server, "arguments", with_draft)  # it is for GPUs; here is none
    server = llama_server.start(settings_for(tmp_path), smol_model)
    body = {"prompt": "def fib(n):", "n_predict": 32, "temperature": 0}
    timings = httpx.post(f"{server.url}/completion", json=body, timeout=60).json()["timings"]
    embedding = httpx.post(f"{server.url}/embedding", json={"content": "word"}, timeout=60)
    server.stop()
    assert timings["draft_n_accepted"] > 0
    assert embedding.status_code == 200


@pytest.mark.integration
def test_a_model_that_cannot_be_loaded_quotes_the_log(smol_model: ModelFile, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(smol_model.path.read_bytes()[:5_000_000])
    with pytest.raises(StartupError, match=r"llama (exited|was killed)[\s\S]*cut\.gguf"):
        llama_server.start(Settings(data_dir=tmp_path), ModelFile(cut, "0" * 64, "cut"))


# ---------------------------------------------------------------- the sandbox executor


@pytest.mark.integration
def test_the_executor_answers_on_its_socket(tmp_path: Path) -> None:
    server = executor_server.start(Settings(data_dir=tmp_path, sandbox_jobs=1))
    assert server.url == f"unix:{server.socket}"
    server.stop()


# ---------------------------------------------------------------- the stack


def settings_for(tmp_path: Path, **more: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, "context_tokens": 2048, "threads": 1, **more})


def redis_only(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, llama_url="http://l", executor_url="unix:/e")


@pytest.mark.integration
async def test_the_stack_fills_in_urls_and_restarts_at_the_same_address(
    tmp_path: Path, smol_model: ModelFile
) -> None:
    children = Children(settings_for(tmp_path, executor_url="unix:/e"), smol_model)
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


def test_the_log_names_the_cause_in_one_line(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", SLEEPER, tmp_path)
    child.kill()
    assert child.how_ended() == "sleeper was killed by SIGKILL"


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
