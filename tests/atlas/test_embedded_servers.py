"""Each embedded server for real: Redis, llama-server, the sandbox executor."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis
from embedded_bench import settings_for

from atlas.config import Settings
from atlas.embedded import executor_server, gguf, llama_server, redis_server
from atlas.errors import ModelFileError, ModelSizeUnknown, StartupError
from atlas.model_size import PUBLISHED, ModelSize
from atlas.models import ModelFile

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
            "appendfsync": "always",
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
    monkeypatch.setattr(llama_server, "read_size", lambda _: PUBLISHED["qwen3-14b"])
    monkeypatch.setattr(llama_server, "memory_available", lambda: 7_000_000_000)
    model = ModelFile(large, "0" * 64, "large")
    with pytest.raises(StartupError) as caught:
        llama_server.check_memory(Settings(), model)
    assert "large needs about 14.8 GB of memory and 7.0 GB are free" in str(caught.value)
    assert "set MODEL=qwen2.5-coder-1.5b" in str(caught.value)
    monkeypatch.setattr(llama_server, "memory_available", lambda: 1_000_000_000)
    with pytest.raises(StartupError, match=r"lower CONTEXT_TOKENS \(now 16384\)"):
        llama_server.check_memory(Settings(), model)
    llama_server.check_memory(Settings(gpu_device=0), model)


def test_memory_depends_on_the_server_the_cache_and_the_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_server, "read_size", lambda path: PUBLISHED[path.name])
    large, small = Path("qwen3-14b"), Path("qwen3-0.6b")

    def needed(settings: Settings, draft: Path | None = None) -> float:
        return (llama_server.memory_needed(settings, large, draft) or 0) / 1e9

    assert 14 < needed(Settings()) < 15
    assert needed(Settings(llama_server=Path("/b"))) < 13, "logits of 512 tokens, not of 2048"
    assert needed(Settings(kv_type="q8_0")) < needed(Settings()) - 1
    assert needed(Settings(), small) > needed(Settings()) + 0.6


def test_a_model_whose_memory_is_not_known_is_started_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: Path) -> ModelSize:
        raise ModelSizeUnknown("recurrent")

    monkeypatch.setattr(llama_server, "read_size", unknown)
    monkeypatch.setattr(llama_server, "memory_available", lambda: 1)
    model = ModelFile(Path("m.gguf"), "", "m")
    assert llama_server.memory_needed(Settings(), model.path) is None
    llama_server.check_memory(Settings(), model)


def test_a_damaged_header_is_no_traceback(tmp_path: Path) -> None:
    for content in (b"", b"GGUF", b"GGUF" + b"\xff" * 100, b"nope" * 10):
        (tmp_path / "m.gguf").write_bytes(content)
        with pytest.raises(ModelFileError, match="header cannot be read"):
            gguf.read_contents(tmp_path / "m.gguf")


def test_without_xllamacpp_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"pip install 'atlas\[embedded\]'.*build-llama-server\.sh"):
        llama_server.launch(Settings(data_dir=tmp_path), ModelFile(tmp_path / "m", "", "m"))


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
def test_a_model_that_cannot_be_loaded_quotes_the_log(smol_model: ModelFile, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(smol_model.path.read_bytes()[:-64])  # in its last tensor
    with pytest.raises(StartupError, match=r"llama (exited|was killed)[\s\S]*cut\.gguf"):
        llama_server.start(Settings(data_dir=tmp_path), ModelFile(cut, "0" * 64, "cut"))


# ---------------------------------------------------------------- the sandbox executor


@pytest.mark.integration
def test_the_executor_answers_on_its_socket(tmp_path: Path) -> None:
    server = executor_server.start(Settings(data_dir=tmp_path, sandbox_jobs=1))
    assert server.url == f"unix:{server.socket}"
    server.stop()


@pytest.mark.integration
def test_a_killed_executor_leaves_only_its_socket_and_log_and_the_next_serves(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sandbox_jobs=1)
    server = executor_server.start(settings)
    body = {"code": "while True: pass", "inputs": [""], "limits": {"time_s": 30}}
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(_execute, server, body)
        time.sleep(0.5)
        server.child.kill()
        with pytest.raises(httpx.TransportError):
            asked.result(10)
    left = {path for path in settings.run_dir.rglob("*") if path.is_file()}
    assert {path.suffix for path in left} <= {".log"}
    server = executor_server.start(settings)
    assert _execute(server, {"code": "print(1)", "inputs": [""]}).json()["runs"][0]["output"] == "1\n"
    server.stop()


def _execute(server: executor_server.ExecutorServer, body: dict[str, object]) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(server.socket))
    with httpx.Client(transport=transport, base_url="http://executor", timeout=60) as client:
        return client.post("/v1/execute", json=body)
