"""Server-sent events of a task: its journal, from any point on, as it grows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from sse_starlette import ServerSentEvent

from atlas.errors import BadInput
from atlas.events import CLOSING, Entry
from atlas.journal import Journal

BLOCK_MS = 2_000


def position(last_event_id: str | None) -> int:
    """Return the sequence number to go on after.

    Raises:
        BadInput: if the header is not a number that this API gave out.
    """
    if last_event_id is None:
        return 0
    if not re.fullmatch("[0-9]{1,18}", last_event_id):
        raise BadInput(f"Last-Event-ID must be an event's id, a whole number; got {last_event_id[:40]!r}")
    return int(last_event_id)


async def follow(journal: Journal, task: str, after: int) -> AsyncIterator[Entry]:
    """Yield entries with `seq > after` as they come; end after the event that closes the task.

    A closing append is atomic, so whatever follows the closing event came in the same read.
    """
    while True:
        entries = await journal.read(task, after, block_ms=BLOCK_MS)
        for entry in entries:
            yield entry
            after = entry.seq
        if any(isinstance(entry.event, CLOSING) for entry in entries):
            return
        if not entries and (await journal.state(task)).closed:
            return


async def events(journal: Journal, task: str, after: int) -> AsyncIterator[ServerSentEvent]:
    """Yield what `follow` does as server-sent events."""
    async for entry in follow(journal, task, after):
        yield ServerSentEvent(id=str(entry.seq), event=entry.event.type, data=entry.model_dump_json())
