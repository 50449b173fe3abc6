"""A task followed for the one client who waits for it: until its end, or until the client goes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import RedisError
from sse_starlette.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from atlas.api import TaskView
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    CandidateScored,
    Entry,
    ExecutionFinished,
    TaskAbstained,
    TaskDecided,
)
from atlas.openai_api import AtlasAnswer, ChatChunk, ChatUsage, ChunkChoice, Delta, Stage
from services.gateway.chat import answer, answered, completion_id, content, failure, refusal, usage_of
from services.gateway.openai_errors import openai_error
from services.gateway.stream import follow
from services.gateway.tasks import Tasks

log = logging.getLogger(__name__)


@dataclass
class Waiting:
    """A client's wait for its task. `owned`: the task has no point once this client is gone."""

    tasks: Tasks
    view: TaskView
    owned: bool
    over: bool = False

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield what happens in the task until it has ended."""
        async for entry in follow(self.tasks.journal, self.view.id, 0):
            yield entry
        self.over = True

    async def ended(self) -> TaskView:
        """Return the task when it has ended."""
        async for _ in self.entries():
            pass
        return await self.tasks.get(self.view.id)

    async def leave(self) -> None:
        """Stop waiting, however it ended: an owned task that is not over is cancelled."""
        if self.owned and not self.over:
            await asyncio.shield(asyncio.ensure_future(self._cancel()))

    async def _cancel(self) -> None:
        try:
            await self.tasks.cancel(self.view.id)
        except RedisError as error:
            log.error("%s: its client has gone, but it cannot be cancelled: %s", self.view.id, error)


class ChatStream(EventSourceResponse):
    """A completion as server-sent events; leaves the task when it ends, however it ends."""

    def __init__(self, waiting: Waiting, model: str, *, include_usage: bool) -> None:
        super().__init__(_chunks(waiting, model, include_usage), sep="\n")
        self._waiting = waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._waiting.leave()


async def _chunks(waiting: Waiting, model: str, include_usage: bool) -> AsyncIterator[str]:
    task = waiting.view.id

    def chunk(*choices: ChunkChoice, usage: ChatUsage | None = None, atlas: AtlasAnswer | None = None) -> str:
        made = ChatChunk(
            id=completion_id(task),
            created=int(waiting.view.submitted_at),
            model=model,
            choices=choices,
            usage=usage,
            atlas=atlas,
        )
        return _json(made, include_usage)

    yield chunk(ChunkChoice(delta=Delta(role="assistant", content="")), atlas=AtlasAnswer(task=task))
    try:
        async for entry in waiting.entries():
            yield chunk(ChunkChoice(), atlas=AtlasAnswer(task=task, stage=_stage(entry)))
        view = await waiting.tasks.get(task)
    except RedisError as error:
        log.error("%s: its stream breaks off: %s", task, error)
        yield json.dumps(openai_error(503, f"the journal cannot be reached; see GET /v1/tasks/{task} later"))
        return
    if not answered(view):
        status, code, message = failure(view)
        yield json.dumps(openai_error(status, message, code=code))
        return
    yield chunk(ChunkChoice(delta=Delta(content=content(view), refusal=refusal(view))))
    yield chunk(ChunkChoice(finish_reason="stop"), atlas=answer(view))
    if include_usage:
        yield chunk(usage=usage_of(view))
    yield "[DONE]"


def _json(chunk: ChatChunk, include_usage: bool) -> str:
    """Write a chunk; a delta holds only what it adds, `usage` is there (null until the end) if asked for."""
    body = chunk.model_dump(mode="json")
    for choice in body["choices"]:
        choice["delta"] = {key: value for key, value in choice["delta"].items() if value is not None}
    if not include_usage:
        del body["usage"]
    if body["atlas"] is None:
        del body["atlas"]
    return json.dumps(body)


def _stage(entry: Entry) -> Stage:
    return Stage(
        seq=entry.seq,
        event=entry.event.type,
        candidate=_candidate(entry.event),
        verdicts=_verdicts(entry.event),
    )


def _candidate(event: AnyEvent) -> str | None:
    if isinstance(event, CandidateGenerated):
        return event.candidate.id
    if isinstance(event, (CandidateScored, ExecutionFinished, CandidateProbed, TaskDecided, TaskAbstained)):
        return event.candidate
    return None


def _verdicts(event: AnyEvent) -> dict[str, int]:
    if not isinstance(event, ExecutionFinished):
        return {}
    return dict(Counter(result.verdict.value for result in event.execution.results))
