"""The script that lets a gateway know the key in the Secret, on a real Redis."""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run
from typing import Any

import pytest
from redis.asyncio import Redis

from atlas.api_keys import ApiKey, ApiKeys
from atlas.embedded import redis_server
from atlas.redis_client import connect
from tests.charts.rendered_chart import CHART, environment, one, pods, render

FIRST, SECOND = "atlas_" + "a1" * 22, "atlas_" + "B2" * 22


def arguments(redis_url: str, key: str, name: str = "helm.atlas") -> dict[str, Any]:
    """Return what the script is started by."""
    return {
        "args": [sys.executable, CHART / "files" / "admit_key.py", name],
        "env": {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHART.parents[1]),
            "ATLAS_REDIS_URL": redis_url,
            "ATLAS_API_KEY": key,
        },
        "stdout": PIPE,
        "stderr": PIPE,
        "text": True,
    }


def admit(redis_url: str, key: str, name: str = "helm.atlas") -> CompletedProcess[str]:
    done: CompletedProcess[str] = run(**arguments(redis_url, key, name), check=False)
    return done


async def known(redis_url: str, *keys: str) -> tuple[list[bool], tuple[ApiKey, ...]]:
    redis = connect(redis_url)
    try:
        table = ApiKeys(redis)
        return [await table.valid(key) for key in keys], await table.list()
    finally:
        await redis.aclose()


async def test_the_gateway_takes_the_key_and_says_only_its_end(redis_url: str) -> None:
    done = admit(redis_url, FIRST)
    assert done.returncode == 0, done.stderr
    assert FIRST not in done.stdout + done.stderr
    valid, (kept,) = await known(redis_url, FIRST, SECOND)
    assert valid == [True, False]
    assert (kept.name, kept.last4, kept.expires_at) == ("helm.atlas", FIRST[-4:], None)


async def test_admitting_it_again_changes_nothing(redis_url: str) -> None:
    admit(redis_url, FIRST)
    before = await known(redis_url, FIRST)
    assert admit(redis_url, FIRST).returncode == 0
    assert await known(redis_url, FIRST) == before


async def test_a_new_key_takes_the_place_of_the_old_one_and_leaves_others_alone(redis_url: str) -> None:
    redis = connect(redis_url)
    laptop, _ = await ApiKeys(redis).create("laptop")
    await redis.aclose()
    admit(redis_url, FIRST)
    admit(redis_url, FIRST, "helm.other")
    admit(redis_url, SECOND)
    valid, kept = await known(redis_url, FIRST, SECOND, laptop)
    assert valid[1:] == [True, True]
    assert {key.name for key in kept} >= {"laptop", "helm.atlas"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's names, with a client that does not wait; `main` sees what is put there."""
    monkeypatch.setenv("ATLAS_API_KEY", FIRST)
    names = runpy.run_path(str(CHART / "files" / "admit_key.py"))
    main_sees: dict[str, Any] = names["main"].__globals__
    main_sees["connect"] = lambda url: Redis.from_url(url, retry=None, decode_responses=True)
    return main_sees


def test_a_redis_that_is_not_there_is_one_clear_line(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATLAS_REDIS_URL", "redis://:PASSWORD@127.0.0.1:1/0")
    assert script["main"](["helm.atlas"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Redis does not take the key yet")
    assert "127.0.0.1:1" in line
    assert "PASSWORD" not in line
    assert FIRST not in line


def test_a_redis_that_refuses_the_password_says_so(
    script: dict[str, Any],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ATLAS_REDIS_URL", redis_url.replace("://", "://nobody:wrong@", 1))
    assert script["main"](["helm.atlas"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "WRONGPASS" in line or "invalid username-password" in line
    assert "wrong" not in line.replace("WRONGPASS", "")


def test_a_redis_that_comes_up_late_is_waited_for(tmp_path: Path) -> None:
    first = redis_server.start(tmp_path)
    first.stop()
    with Popen(**arguments(first.url, FIRST)) as waiting:
        time.sleep(1)
        assert waiting.poll() is None
        late = redis_server.start(tmp_path)
        try:
            _, said = waiting.communicate(timeout=60)
        finally:
            late.stop()
    assert late.url == first.url
    assert (waiting.returncode, said) == (0, f"the gateway knows the key helm.atlas (...{FIRST[-4:]})\n")


async def test_a_key_that_could_be_guessed_is_refused(redis_url: str) -> None:
    for weak in ("secret", "atlas_short", FIRST.removeprefix("atlas_")):
        done = admit(redis_url, weak)
        assert done.returncode == 1
        assert "too easy to guess" in done.stderr
        assert weak not in done.stderr.split()
    assert await known(redis_url) == ([], ())


def test_it_runs_before_every_gateway_with_the_secrets_of_the_release() -> None:
    gateway = pods(render())["gateway"]
    (first,) = gateway.spec["initContainers"]
    assert first["command"] == ["python", "/etc/atlas/admit_key.py"]
    assert first["args"] == ["helm.atlas"]
    assert {"name": "files", "mountPath": "/etc/atlas", "readOnly": True} in first["volumeMounts"]
    script = one(render(), "ConfigMap", "atlas-files")["data"]["admit_key.py"]
    assert script.strip() == (CHART / "files" / "admit_key.py").read_text(encoding="utf-8").strip()
    assert environment(first)["ATLAS_API_KEY"] == {
        "secretKeyRef": {"name": "atlas-api-key", "key": "api-key"}
    }
    assert "ATLAS_API_KEY" not in environment(gateway.main)  # which has no use for it
