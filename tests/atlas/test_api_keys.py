"""API keys on a real Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from atlas import api_keys
from atlas.api_keys import ApiKeys
from atlas.errors import BadInput, NotFound
from atlas.redis_client import connect


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture
def keys(store: Redis) -> ApiKeys:
    return ApiKeys(store)


async def test_a_key_is_random_and_says_what_it_is_for(keys: ApiKeys) -> None:
    made = [await keys.create("laptop") for _ in range(3)]
    assert len({key for key, _ in made}) == len({info.id for _, info in made}) == 3
    key, info = made[0]
    assert key.startswith("atlas_")
    assert len(key) >= len("atlas_") + 32 * 4 / 3  # 32 bytes in base64
    assert (info.name, info.last4, info.expires_at) == ("laptop", key[-4:], None)
    assert abs(info.created_at - time.time()) < 60
    assert await keys.list() == tuple(info for _, info in made)


async def test_redis_never_holds_a_key_in_the_clear(keys: ApiKeys, store: Redis) -> None:
    key, info = await keys.create("laptop")
    kept = await store.hgetall("{atlas}:api_keys")
    assert list(kept) == [hashlib.sha256(key.encode()).hexdigest()]
    assert next(iter(kept)).startswith(info.id)
    secret = key.removeprefix("atlas_")
    assert all(secret[at : at + 8] not in str(kept) for at in range(len(secret) - 7))
    assert await store.keys("*") == ["{atlas}:api_keys"]


async def test_only_what_was_made_and_not_revoked_is_valid(keys: ApiKeys) -> None:
    key, _ = await keys.create("a")
    other, info = await keys.create("b")
    assert await keys.valid(key)
    for wrong in ("", "atlas_", key[:-1], key + "x", key.upper(), key.removeprefix("atlas_"), info.id):
        assert not await keys.valid(wrong), wrong
    assert (await keys.revoke("b")) == info
    assert not await keys.valid(other)
    assert await keys.valid(key)
    assert [kept.name for kept in await keys.list()] == ["a"]


async def test_a_key_expires(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    key, info = await keys.create("guest", lifetime_s=60)
    assert info.expires_at == info.created_at + 60
    monkeypatch.setattr(api_keys.time, "time", lambda: info.created_at + 59)
    assert await keys.valid(key)
    assert not info.expired
    monkeypatch.setattr(api_keys.time, "time", lambda: info.created_at + 60)
    assert not await keys.valid(key)
    assert [kept.expired for kept in await keys.list()] == [True]


async def test_keys_of_one_name_are_revoked_by_id(keys: ApiKeys) -> None:
    old, first = await keys.create("ci")
    new, second = await keys.create("ci")
    with pytest.raises(BadInput, match=rf"{first.id}.*{second.id}"):
        await keys.revoke("ci")
    assert await keys.valid(old)
    assert await keys.revoke(first.id) == first
    assert (await keys.valid(old), await keys.valid(new)) == (False, True)
    assert await keys.revoke("ci") == second
    for gone in ("ci", first.id, first.id[:6], "*", ""):
        with pytest.raises(NotFound, match="atlas keys list"):
            await keys.revoke(gone)


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a\n", "\x1b[31m", "ä", "x" * 65])
async def test_a_name_that_cannot_be_shown_on_one_line_is_refused(keys: ApiKeys, name: str) -> None:
    with pytest.raises(BadInput, match="letters, digits"):
        await keys.create(name)
    assert await keys.list() == ()


@pytest.mark.parametrize("lifetime_s", [0, -1, float("nan"), float("inf")])
async def test_a_lifetime_that_is_none_is_refused(keys: ApiKeys, lifetime_s: float) -> None:
    with pytest.raises(BadInput, match="lifetime"):
        await keys.create("a", lifetime_s)
    assert await keys.list() == ()
