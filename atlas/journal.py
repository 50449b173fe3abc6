"""Journal and queue on one Redis (its keys: `atlas/redis_keys.py`).

A journal is the stream `{atlas}:journal:<task>`; commands wait on `{atlas}:queue:<service>:<priority>`.
Finishing a command and issuing the next is one atomic script (`journal.lua`), which no queue library offers:
that is why this is our own (docs/ARCHITECTURE.md). Redis 6.2 commands only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from atlas import redis_keys
from atlas.commands import SERVICE_OF, AnyCommand, command_of
from atlas.errors import SchemaTooNew
from atlas.events import AnyEvent, CommandFailed, Entry, ModelCallFinished, TaskSubmitted
from atlas.pipeline import Step, advance
from atlas.redis_keys import GROUP
from atlas.state import InvalidHistory, TaskState, fold
from atlas.upcasting import SCHEMA_VERSION, UNVERSIONED

LEASE_S = 15.0
BLOB_OVER_BYTES = 48_000

_LUA = Path(__file__).with_name("journal.lua").read_text(encoding="utf-8")
# Extend a lease only while it is still ours: a plain XCLAIM would steal the work back from a new owner.
_EXTEND_LUA = """
local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #p == 0 or p[1][2] ~= ARGV[3] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[2], 'JUSTID')
return 1
"""


class Outcome(str, Enum):
    """What became of an append."""

    OK = "OK"
    CONFLICT = "CONFLICT"
    ANSWERED = "ANSWERED"
    CLOSED = "CLOSED"


@dataclass(frozen=True)
class Delivery:
    """A command in a worker's hands: a lease of `LEASE_S`, to be extended while the work goes on."""

    task: str
    command: AnyCommand
    queue: str
    entry: str
    consumer: str
    deliveries: int


class Journal:
    """Typed access to journals, queues, deadlines and dead letters."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._script = redis.register_script(_LUA)
        self._extend = redis.register_script(_EXTEND_LUA)
        self._states: dict[str, TaskState] = {}
        self._buffers: dict[str, list[Delivery]] = {}

    async def read(self, task: str, after: int = 0, block_ms: int | None = None) -> list[Entry]:
        """Return the entries with `seq > after`, waiting up to `block_ms` for the first."""
        key = redis_keys.journal(task)
        if block_ms is None:
            rows = _rows([(key, await self.redis.xrange(key, min=f"{after + 1}-0"))])
        else:
            rows = _rows(await self.redis.xread({key: f"{after}-0"}, block=block_ms))
        return [await self._entry(entry, fields) for _, entry, fields in rows]

    async def state(self, task: str) -> TaskState:
        """Fold the journal, from where the last fold of this process ended."""
        known = self._states.pop(task, TaskState())
        state = fold(known, await self.read(task, known.seq))
        if not state.closed:
            self._remember(task, state)
        return state

    async def submit(self, task: str, event: TaskSubmitted) -> bool:
        """Begin a journal; False if the task was submitted before (its first event stands)."""
        step = advance(TaskState(), [event])
        return (await self._append(task, 0, step, "submit", None, None))[0] is Outcome.OK

    async def record(self, task: str, event: AnyEvent, once: str) -> Outcome:
        """Append an event that answers no command: a model call, a deadline, a cancellation."""
        return await self._settle(task, [event], once)

    async def finish(self, delivery: Delivery, events: list[AnyEvent]) -> Outcome:
        """Append a command's result, acknowledge it and issue what the brain wants next, in one step."""
        return await self._settle(delivery.task, events, delivery.command.id, delivery)

    async def bury(self, delivery: Delivery) -> Outcome:
        """Give up on a command that was delivered too often: dead letter, failure and ack in one step."""
        detail = f"delivered {delivery.deliveries} times without an answer"
        event = CommandFailed(command=delivery.command.id, reason="poisoned", detail=detail)
        about = {
            "command": delivery.command.model_dump(),
            "queue": delivery.queue,
            "detail": detail,
            "version": SCHEMA_VERSION,
        }
        return await self._settle(delivery.task, [event], delivery.command.id, delivery, json.dumps(about))

    async def _settle(
        self,
        task: str,
        events: list[AnyEvent],
        once: str,
        held: Delivery | None = None,
        bury: str | None = None,
    ) -> Outcome:
        """Append, re-deciding on a fresh fold as often as someone else got there first.

        Raises:
            InvalidHistory: if an event cannot follow, and not because its like is there already.
        """
        while True:
            state = await self.state(task)
            impossible: InvalidHistory | None = None
            try:
                step = advance(state, events)
            except InvalidHistory as error:  # late or repeated, says the script's own check; else a bug
                impossible, step = error, Step(tuple(events), (), (), state)
            expected = -1 if impossible else state.seq
            outcome, head = await self._append(task, expected, step, once, held, bury)
            if outcome is not Outcome.CONFLICT:
                return outcome
            if impossible and head == state.seq:
                raise impossible

    async def _append(
        self, task: str, expected: int, step: Step, once: str, held: Delivery | None, bury: str | None
    ) -> tuple[Outcome, int]:
        submitted = step.state.task
        keys = [
            *(redis_keys.journal(task), redis_keys.marks(task), redis_keys.DEADLINES, redis_keys.TASKS),
            *(redis_keys.LATE_TOKENS, redis_keys.DEAD, held.queue if held else "-{atlas}"),
        ]
        queues = [redis_keys.queue(SERVICE_OF[c.kind], submitted.priority) for c in step.commands]
        calls = [e for e in step.events if isinstance(e, ModelCallFinished)]
        commands = enumerate(step.commands, start=len(keys) + 1)
        request = {
            "task": task,
            "expected": expected,
            "once": once,
            "version": SCHEMA_VERSION,
            "events": [await self._encode(e) for e in step.events],
            "commands": [{"id": c.id, "body": c.model_dump_json(), "queue": i} for i, c in commands],
            "revoked": step.revoked,
            "delivery": {"group": GROUP, "id": held.entry} if held else None,
            "tokens": sum(choice.usage.tokens_out for call in calls for choice in call.choices),
            "closes": step.state.closed is not None,
            "deadline_s": submitted.deadline_s,
            "bury": bury,
        }
        text = json.dumps({k: v for k, v in request.items() if v is not None})
        outcome, head = await self._script(keys=[*keys, *queues], args=[text])
        if outcome == Outcome.OK and not step.state.closed:
            self._remember(task, step.state)
        return Outcome(outcome), head

    def _remember(self, task: str, state: TaskState) -> None:
        self._states[task] = state
        while len(self._states) > 256:
            self._states.pop(next(iter(self._states)))

    async def _encode(self, event: AnyEvent) -> str:
        """Return the event's JSON; a long one goes to a content-addressed blob and only its hash stays."""
        text = event.model_dump_json()
        if len(text) <= BLOB_OVER_BYTES:
            return text
        sha = hashlib.sha256(text.encode()).hexdigest()
        await self.redis.set(redis_keys.blob(sha), text)
        return json.dumps({"blob": sha})

    async def _entry(self, entry_id: str, fields: dict[str, str]) -> Entry:
        text = fields["e"]
        if text.startswith('{"blob"'):
            text = str(await self.redis.get(redis_keys.blob(json.loads(text)["blob"])))
        where = {"seq": int(entry_id.split("-")[0]), "time": float(fields["t"])}
        version = int(fields.get("v", UNVERSIONED))
        return Entry.model_validate({**where, "version": version, "event": json.loads(text)})

    async def open_queues(self, service: str) -> None:
        """Create the service's queues and their group; do nothing where they exist."""
        for queue in redis_keys.queues(service):
            try:
                await self.redis.xgroup_create(queue, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def claim(
        self, service: str, consumer: str, block_ms: int | None = 1000, lease_s: float = LEASE_S
    ) -> Delivery | None:
        """Return the next command: lapsed leases first, then by priority; or None, after `block_ms`."""
        buffer = self._buffers.setdefault(service, [])
        while buffer:
            if await self.extend(held := buffer.pop(0)):
                return held
        for queue in redis_keys.queues(service):
            rows = await self.redis.xautoclaim(queue, GROUP, consumer, int(lease_s * 1000), count=1)
            if claimed := await self._deliveries([(queue, rows[1])], consumer):
                return claimed[0]
        for queue in redis_keys.queues(service):
            answer = await self.redis.xreadgroup(GROUP, consumer, {queue: ">"}, count=1)
            if fresh := await self._deliveries(answer, consumer):
                return fresh[0]
        answer = await self.redis.xreadgroup(
            GROUP, consumer, dict.fromkeys(redis_keys.queues(service), ">"), count=1, block=block_ms
        )
        buffer.extend(await self._deliveries(answer, consumer))
        return buffer.pop(0) if buffer else None

    async def _deliveries(self, answer: object, consumer: str) -> list[Delivery]:
        found = []
        for queue, entry, fields in _rows(answer):
            if not fields:  # deleted while pending: Redis 6.2 hands over the bare id
                await self.redis.xack(queue, GROUP, entry)
                continue
            pending = await self.redis.xpending_range(queue, GROUP, entry, entry, 1)
            times = int(pending[0]["times_delivered"]) if pending else 1
            try:
                command = command_of(json.loads(fields["command"]), int(fields.get("v", UNVERSIONED)))
            except SchemaTooNew:
                await self._leave(queue, entry, consumer, times)
                raise
            found.append(Delivery(fields["task"], command, queue, entry, consumer, times))
        return found

    async def give_back(self, delivery: Delivery) -> None:
        """Leave a command to a worker of a newer release, as if it had not been delivered here."""
        await self._leave(delivery.queue, delivery.entry, delivery.consumer, delivery.deliveries)

    async def _leave(self, queue: str, entry: str, consumer: str, deliveries: int) -> None:
        lapsed = int(LEASE_S * 1000)
        await self.redis.xclaim(
            queue, GROUP, consumer, 0, [entry], idle=lapsed, retrycount=max(0, deliveries - 1), justid=True
        )

    async def extend(self, delivery: Delivery) -> bool:
        """Renew the lease; False if the command belongs to someone else by now."""
        args = [GROUP, delivery.entry, delivery.consumer]
        return bool(await self._extend(keys=[delivery.queue], args=args))

    async def wanted(self, delivery: Delivery) -> bool:
        """Whether an answer to this command would still be taken."""
        asked = ["closed", f"done:{delivery.command.id}"]
        return not any(await self.redis.smismember(redis_keys.marks(delivery.task), asked))

    async def drop(self, delivery: Delivery, tokens: int = 0) -> None:
        """Acknowledge a command nobody wants any more; count what was spent on it."""
        await self.count_late(delivery.task, tokens)  # first: whoever sees it settled sees its tokens too
        await self.redis.xack(delivery.queue, GROUP, delivery.entry)
        await self.redis.xdel(delivery.queue, delivery.entry)

    async def count_late(self, task: str, tokens: int) -> None:
        """Count tokens that were drawn and came to nothing."""
        if tokens:
            await self.redis.hincrby(redis_keys.LATE_TOKENS, task, tokens)

    async def stopped(self) -> AsyncIterator[str]:
        """Yield tasks that closed or had commands revoked, as it happens (a hint: it may miss some)."""
        async with self.redis.pubsub() as pubsub:
            await pubsub.subscribe(redis_keys.STOPPED)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield message["data"]

    async def due(self) -> list[tuple[str, float]]:
        """Return open tasks whose deadline has passed, by Redis's clock, and seconds since then."""
        now = (await self.redis.time())[0]
        call = self.redis.zrangebyscore(redis_keys.DEADLINES, "-inf", now, withscores=True)
        return [(str(task), now - float(at)) for task, at in cast("list[tuple[str, float]]", await call)]

    async def tasks(self, limit: int, before: float | None = None) -> list[tuple[str, float]]:
        """Return (task, submission time), newest first, strictly older than `before`."""
        top = "+inf" if before is None else f"({before}"
        call = self.redis.zrevrangebyscore(redis_keys.TASKS, top, "-inf", 0, limit, withscores=True)
        return [(str(task), float(score)) for task, score in cast("list[tuple[str, float]]", await call)]

    async def late_tokens(self, task: str) -> int:
        """Return the tokens spent on answers that came after nobody wanted them."""
        return int(await self.redis.hget(redis_keys.LATE_TOKENS, task) or 0)


def _rows(answer: object) -> list[tuple[str, str, dict[str, str]]]:
    """Flatten a stream reply (RESP2: a list of [stream, rows]) to (stream, entry id, fields)."""
    streams = cast("list[tuple[str, list[tuple[str, dict[str, str]]]]]", answer or [])
    return [(stream, entry, fields) for stream, rows in streams for entry, fields in rows]
