"""`atlas keys`: made, listed and revoked in the stack's own Redis; the key itself goes to stdout alone."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from atlas.api_keys import ApiKeys
from atlas.cli import app
from atlas.redis_client import connect


@pytest.fixture(autouse=True)
def stack_json(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack of this process's, as far as its file goes; REDIS_URL is not set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "data" / "run" / "stack.json"
    path.parent.mkdir(parents=True)
    stack = {"pid": os.getpid(), "gateway_url": "http://127.0.0.1:8400", "redis_url": redis_url}
    path.write_text(json.dumps(stack))
    yield path
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()


def keys(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["keys", *arguments])
    return result.exit_code, result.stdout, result.stderr


async def opens(redis_url: str, key: str) -> bool:
    async with connect(redis_url) as client:
        return await ApiKeys(client).valid(key)


def test_the_key_goes_to_stdout_alone_and_is_never_shown_again() -> None:
    code, out, err = keys("create", "laptop")
    key = out.strip()
    assert code == 0
    assert key.startswith("atlas_")
    assert key not in err
    assert "atlas keys revoke" in err
    for arguments in (("list",), ("list", "--json")):
        code, out, _ = keys(*arguments)
        assert code == 0
        assert key not in out
        assert "laptop" in out
        assert key[-4:] in out


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_key_opens_nothing(by: str, redis_url: str) -> None:
    key = keys("create", "ci", "--days", "90")[1].strip()
    assert asyncio.run(opens(redis_url, key))
    listed = json.loads(keys("list", "--json")[1])
    assert listed["expires_at"] - listed["created_at"] == pytest.approx(90 * 86_400)
    assert "in 90 d" in keys("list")[1]
    code, out, err = keys("revoke", listed[by])
    assert (code, out) == (0, "")
    assert err.startswith("revoked ci")
    assert not asyncio.run(opens(redis_url, key))
    code, _, err = keys("revoke", "ci")
    assert code == 2
    assert "atlas keys list" in err


def test_without_a_stack_it_says_to_start_one(
    stack_json: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_json.unlink()
    code, out, err = keys("create", "laptop")
    assert (code, out) == (1, "")
    assert "atlas up" in err
    monkeypatch.setenv("ATLAS_REDIS_URL", redis_url)
    assert keys("create", "laptop")[0] == 0
    monkeypatch.setattr("atlas.cli_keys.REDIS_PATIENCE_S", 0.2)
    monkeypatch.setenv("ATLAS_REDIS_URL", "redis://:secret@127.0.0.1:9/0")
    code, _, err = keys("list")
    assert code == 1
    assert "Redis cannot be reached" in err
    assert "secret" not in err


def test_a_stack_that_was_killed_is_none(stack_json: Path) -> None:
    body = json.loads(stack_json.read_text()) | {"pid": 2**22 + 1}
    stack_json.write_text(json.dumps(body))
    assert keys("list")[0] == 1
    stack_json.write_text("{")
    assert keys("list")[0] == 1
