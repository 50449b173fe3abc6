"""One run: submit all tasks, kill on schedule, wait for the ends, read the journals, stop everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.api import SubmitRequest, TaskView
from atlas.cancellation import cancel
from atlas.client import Gateway
from atlas.errors import InfrastructureError
from tests.chaos.field import POLL_S, Field
from tests.chaos.request_log import Request
from tests.chaos.schedule import Kill, Killed
from tests.chaos.verdict import Ended

log = logging.getLogger(__name__)

LIMIT_S = 180.0
LIMIT_PER_KILL_S = 20.0  # a lease of 15 s, and a start
READING_S = 20.0
UNREADABLE = Ended("running", None, ())


@dataclass(frozen=True)
class Run:
    """What came of it; `left`: command lines of what still ran after the end."""

    tasks: Mapping[str, Ended]
    requests: Sequence[Request]
    kills: Sequence[Killed]
    left: Sequence[str]


async def run(
    requests: Sequence[SubmitRequest],
    directory: Path,
    kills: Sequence[Kill] = (),
    progress: Callable[[int, int], object] = lambda ended, killed: None,
) -> Run:
    """Carry out the tasks on a stack of their own in `directory`; `progress` is told how far it is.

    There are fewer kills than wanted if the tasks end before their time has come. A task that cannot be read
    in the end is as one that runs for ever.

    Raises:
        InfrastructureError: the stack does not start.
    """
    field = Field(directory)
    try:
        await field.start()
        tasks = await _tasks(field, requests, kills, progress)
    finally:
        left = await asyncio.to_thread(field.stop)
    return Run(tasks, field.requests, field.kills, left)


async def _tasks(
    field: Field,
    requests: Sequence[SubmitRequest],
    kills: Sequence[Kill],
    progress: Callable[[int, int], object],
) -> dict[str, Ended]:
    async with Gateway(field.url) as gateway:
        ends = [asyncio.ensure_future(_end(gateway, request)) for request in requests]
        killing = asyncio.ensure_future(_kill_all(field, kills, ends))
        watching = asyncio.ensure_future(_watch(field, ends, progress))
        try:
            await asyncio.wait(ends, timeout=LIMIT_S + LIMIT_PER_KILL_S * len(kills))
        finally:
            await cancel(killing, watching, *(end for end in ends if not end.done()))
    progress(sum(_in_time(end) for end in ends), len(field.kills))
    if field.gave_up():
        return {request.problem.title: UNREADABLE for request in requests}
    async with Gateway(field.url, patience_s=READING_S) as gateway:
        return {
            request.problem.title: await _ended(gateway, request, end)
            for request, end in zip(requests, ends, strict=True)
        }


async def _end(gateway: Gateway, request: SubmitRequest) -> TaskView:
    view, _ = await gateway.submit(request, key=request.problem.title)
    return await gateway.wait(view.id)


async def _kill_all(field: Field, kills: Sequence[Kill], ends: Sequence[asyncio.Future[TaskView]]) -> None:
    for kill in kills:
        while len(field.requests) < kill.after:  # noqa: ASYNC110 - another process writes the log
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(kill.delay_s)
        if all(end.done() for end in ends):
            return
        await field.kill(kill.target)
        log.info("killed %s", kill.target)


async def _watch(
    field: Field, ends: Sequence[asyncio.Future[TaskView]], progress: Callable[[int, int], object]
) -> None:
    while True:
        progress(sum(end.done() for end in ends), len(field.kills))
        field.look()
        if gave_up := field.gave_up():
            log.error("the stack gave up: %s", gave_up)
            for end in ends:
                end.cancel()
        await asyncio.sleep(0.5)


def _in_time(end: asyncio.Future[TaskView]) -> bool:
    return end.done() and not end.cancelled() and not end.exception()


async def _ended(gateway: Gateway, request: SubmitRequest, end: asyncio.Future[TaskView]) -> Ended:
    if not end.cancelled() and (error := end.exception()):
        if not isinstance(error, InfrastructureError):
            raise error
        log.error("%s: %s", request.problem.title, error)
    try:
        # The task as it is now: what a client was told in time is not all that counts.
        view, _ = await gateway.submit(request, key=request.problem.title)
        entries = await gateway.entries(view.id)
    except InfrastructureError as error:
        log.error("%s cannot be read: %s", request.problem.title, error)
        return UNREADABLE
    return Ended(view.status if _in_time(end) else "running", view.program, entries)
