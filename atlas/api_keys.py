"""API keys of the gateway: random, shown once, kept only as their SHA-256.

They live in the hash `{atlas}:api_keys`, from the key's hash to what may be known of it. A key has 256 random
bits, so a plain hash is enough at rest (there is nothing to guess from), and looking the hash up compares no
secret with another: its time tells nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time

from pydantic import Field
from redis.asyncio import Redis

from atlas.contracts import Contract
from atlas.errors import BadInput, NotFound
from atlas.redis_keys import API_KEYS

PREFIX = "atlas_"
KEY_BYTES = 32
ID_CHARS = 12
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class ApiKey(Contract):
    """What may be known of a key. `id` is the beginning of its hash; times are seconds since 1970, UTC."""

    id: str
    name: str
    created_at: float
    last4: str = Field(description="the key's last four characters, to tell it by")
    expires_at: float | None = Field(default=None, description="None: never")

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and time.time() >= self.expires_at


class ApiKeys:
    """The keys in one Redis (a client with `decode_responses`, as `atlas.redis_client.connect` makes it).

    Several keys may bear one name, so that a new one can be handed out before the old one is revoked.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def create(self, name: str, lifetime_s: float | None = None) -> tuple[str, ApiKey]:
        """Make a key; return it in the clear, for the only time, and what is kept of it.

        Raises:
            BadInput: the name is not 1 to 64 letters, digits and `._@-`, or the lifetime is not over 0.
        """
        if not NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} is no name for a key: 1 to 64 letters, digits and ._@-, a letter or digit first"
            )
        if lifetime_s is not None and not 0 < lifetime_s < math.inf:
            raise BadInput(f"a key's lifetime must be a number of seconds over 0, not {lifetime_s:g}")
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        info = _told_of(key, name, lifetime_s)
        await self._redis.hset(API_KEYS, _hashed(key), info.model_dump_json())
        return key, info

    async def admit(self, key: str, name: str) -> ApiKey:
        """Keep a key that was made elsewhere, unless it is known already; return what is kept of it."""
        info = _told_of(key, name)
        await self._redis.hsetnx(API_KEYS, _hashed(key), info.model_dump_json())
        return info

    async def list(self) -> tuple[ApiKey, ...]:
        """Return every key that was not revoked, oldest first; expired ones too."""
        return tuple(sorted((await self._kept()).values(), key=lambda info: info.created_at))

    async def revoke(self, which: str) -> ApiKey:
        """Forget the key of that id, or the only one of that name; the very next request feels it.

        Raises:
            NotFound: there is none.
            BadInput: several bear that name; the message has their ids.
        """
        kept = await self._kept()
        found = [digest for digest, info in kept.items() if which == info.id]
        found = found or [digest for digest, info in kept.items() if which == info.name]
        if not found:
            raise NotFound(f"no key has the name or id {which!r}; `atlas keys list` lists them")
        if len(found) > 1:
            ids = ", ".join(kept[digest].id for digest in found)
            raise BadInput(f"{len(found)} keys have the name {which!r}; revoke one by its id: {ids}")
        await self._redis.hdel(API_KEYS, found[0])
        return kept[found[0]]

    async def valid(self, key: str) -> bool:
        """Whether the key opens the gateway now: it is kept, not revoked, not expired. One HGET."""
        text = await self._redis.hget(API_KEYS, _hashed(key))
        return text is not None and not ApiKey.model_validate_json(text).expired

    async def _kept(self) -> dict[str, ApiKey]:
        rows = (await self._redis.hgetall(API_KEYS)).items()
        return {str(digest): ApiKey.model_validate_json(text) for digest, text in rows}


def _told_of(key: str, name: str, lifetime_s: float | None = None) -> ApiKey:
    now = time.time()
    return ApiKey(
        id=_hashed(key)[:ID_CHARS],
        name=name,
        created_at=now,
        last4=key[-4:],
        expires_at=None if lifetime_s is None else now + lifetime_s,
    )


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
