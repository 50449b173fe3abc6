"""Dead letters: the commands that `Journal.bury` gave up, read and dropped."""

from __future__ import annotations

import json
import re
from typing import cast

from redis.asyncio import Redis

from atlas.api import DeadLetter, DeadLetterList
from atlas.commands import SERVICE_OF, command_of
from atlas.errors import NotFound
from atlas.redis_keys import DEAD
from atlas.upcasting import UNVERSIONED

Row = tuple[str, dict[str, str]]
_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class DeadLetters:
    """The dead letters of one Redis; a letter's id is that of its stream entry."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def list(self, limit: int, after: str | None = None) -> DeadLetterList:
        """Return at most `limit` letters, oldest first, from behind the letter `after`.

        Raises:
            NotFound: `after` cannot be the id of a letter.
        """
        start = "-" if after is None else f"({_checked(after)}"
        letters = await self._read(start, "+", limit)
        return DeadLetterList(letters=letters, next_after=letters[-1].id if len(letters) == limit else None)

    async def get(self, letter: str) -> DeadLetter:
        """Return one letter.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self._read(_checked(letter), letter, 1)
        if not found:
            raise _absent(letter)
        return found[0]

    async def drop(self, letter: str) -> None:
        """Forget a letter.

        Raises:
            NotFound: there is none of that id.
        """
        if not await self._redis.xdel(DEAD, _checked(letter)):
            raise _absent(letter)

    async def _read(self, start: str, end: str, limit: int) -> tuple[DeadLetter, ...]:
        rows = await self._redis.xrange(DEAD, min=start, max=end, count=limit)
        return tuple(_letter(entry, fields) for entry, fields in cast("list[Row]", rows))


def _letter(entry: str, fields: dict[str, str]) -> DeadLetter:
    about = json.loads(fields["letter"])
    command = command_of(about["command"], about.get("version", UNVERSIONED))
    return DeadLetter(
        id=entry,
        task=fields["task"],
        time=int(entry.partition("-")[0]) / 1000,
        service=SERVICE_OF[command.kind],
        command=command,
        detail=about.get("detail", ""),
    )


def _checked(letter: str) -> str:
    if not _ID.fullmatch(letter):
        raise _absent(letter)
    return letter


def _absent(letter: str) -> NotFound:
    return NotFound(f"no dead letter '{letter[:40]}'")
