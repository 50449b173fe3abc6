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
from tests.chaos.schedule import Kill
from tests.chaos.verdict import Ended

log = logging.getLogger(__name__)

LIMIT_S = 180.0
LIMIT_PER_KILL_S = 20.0  # a lease of 15 s, and a start


@dataclass(frozen=True)
class Run:
    """What came of it; `kills`: their times, `left`: command lines of what still ran after the end."""

    tasks: Mapping[str, Ended]
    requests: Sequence[Request]
    kills: Sequence[float]
    left: Sequence[str]


async def run(
    requests: Sequence[SubmitRequest],
    directory: Path,
    kills: Sequence[Kill] = (),
    progress: Callable[[int, int], object] = lambda ended, killed: None,
) -> Run:
    """Carry out the tasks on a stack of their own in `directory`; `progress` is told how far it is.

    There are fewer kills than wanted if the tasks end before their time has come.

    Raises:
        InfrastructureError: the stack does not start, or does not answer in the end.
    """
    field = Field(directory)
    try:
        await field.start()
        async with Gateway(field.url) as gateway:
            ends = [asyncio.ensure_future(_end(gateway, request)) for request in requests]
            killing = asyncio.ensure_future(_kill_all(field, kills, ends))
            watching = asyncio.ensure_future(_watch(field, ends, progress))
            _, late = await asyncio.wait(ends, timeout=LIMIT_S + LIMIT_PER_KILL_S * len(kills))
            await cancel(killing, watching, *late)
            progress(len(ends) - len(late), len(field.kills))
            tasks = {
                request.problem.title: await _ended(gateway, request, end)
                for request, end in zip(requests, ends, strict=True)
            }
    finally:
        left = await asyncio.to_thread(field.stop)
    return Run(tasks, field.requests, field.kills, left)


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
        await asyncio.sleep(0.5)


async def _ended(gateway: Gateway, request: SubmitRequest, end: asyncio.Future[TaskView]) -> Ended:
    if end.done() and not end.cancelled() and (error := end.exception()):
        if not isinstance(error, InfrastructureError):
            raise error
        log.error("%s: %s", request.problem.title, error)
    # The task as it is now: what a client was told in time is not all that counts.
    view, _ = await gateway.submit(request, key=request.problem.title)
    in_time = end.done() and not end.cancelled() and not end.exception()
    status = view.status if in_time else "running"
    return Ended(status, view.program, await gateway.entries(view.id))
