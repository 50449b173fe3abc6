"""Lets the gateway know the installation's API key: `admit_key.py NAME`; the key is $ATLAS_API_KEY.

Run before every start of a gateway, so that the key works after Redis was emptied, and a new one as soon as
the Secret holds it: older keys of this name are revoked. Keys of other names are left alone.
A Redis that comes up late is waited for, half a minute at a time: then the pod starts this again.
"""

from __future__ import annotations

import asyncio
import os
import sys

from redis.exceptions import RedisError

from atlas.api_keys import PREFIX, ApiKey, ApiKeys
from atlas.redis_client import connect

LEAST_CHARS = len(PREFIX) + 43  # 256 bits of letters and digits


async def admit(redis_url: str, key: str, name: str) -> ApiKey:
    """Add the key under that name unless it is known, revoke older ones, and return what is kept of it."""
    redis = connect(redis_url)
    try:
        keys = ApiKeys(redis)
        new = await keys.admit(key, name)
        for old in await keys.list():
            if old.name == name and old.id != new.id:
                await keys.revoke(old.id)
        return new
    finally:
        await redis.aclose()


def main(arguments: list[str]) -> int:
    """Read the environment and admit the key; the exit code."""
    (name,) = arguments
    key = os.environ["ATLAS_API_KEY"]
    if not key.startswith(PREFIX) or len(key) < LEAST_CHARS:
        sys.stderr.write(
            f"the Secret's api-key is too easy to guess: "
            f"it must be {PREFIX} and 43 or more random letters and digits\n"
        )
        return 1
    try:
        admitted = asyncio.run(admit(os.environ["ATLAS_REDIS_URL"], key, name))
    except (RedisError, OSError) as error:
        sys.stderr.write(f"Redis does not take the key yet, which is tried again: {error or repr(error)}\n")
        return 1
    sys.stderr.write(f"the gateway knows the key {name} (...{admitted.last4})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
