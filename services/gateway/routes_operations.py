"""Routes for whoever runs the stack: its status, and the commands that were given up."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query

from atlas.api import DeadLetter, DeadLetterList, StackStatus, TaskView
from atlas.errors import NotFound
from atlas.model_facts import ModelFacts
from atlas.queues import dead_letters, open_tasks, queue_status
from services.gateway.state import Gateway, State
from services.gateway.tasks import begun_by

router = APIRouter()


@router.get("/v1/status", tags=["operations"])
async def status(gateway: Gateway) -> StackStatus:
    """Return the whole stack as the gateway sees it: its model, what is wrong, queues, tasks under way."""
    redis = gateway.tasks.journal.redis
    return StackStatus(
        version=version("atlas"),
        model=await gateway.model_name(),
        problems=await gateway.runtime.problems(),
        queues=await queue_status(redis),
        open_tasks=await open_tasks(redis),
        dead_letters=await dead_letters(redis),
    )


@router.get("/v1/model", tags=["operations"])
async def model(gateway: Gateway) -> ModelFacts:
    """Return what llama-server says of the model it serves: its template, context, slots and build."""
    return await gateway.server.model_facts(gateway.runtime.settings.thinking_tags)


@router.get("/v1/dead-letters", tags=["dead letters"])
async def list_letters(
    gateway: Gateway,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    after: Annotated[str | None, Query(description="next_after of the page before")] = None,
) -> DeadLetterList:
    """List the commands that were given up, oldest first."""
    return await gateway.letters.list(limit, after)


@router.get("/v1/dead-letters/{letter}", tags=["dead letters"])
async def get_letter(letter: str, gateway: Gateway) -> DeadLetter:
    """Look at one of them."""
    return await gateway.letters.get(letter)


@router.post("/v1/dead-letters/{letter}/retry", tags=["dead letters"])
async def retry_letter(letter: str, gateway: Gateway) -> TaskView:
    """Submit the letter's problem again as a new task, with the same policy, and drop the letter.

    A closed journal cannot be opened again: the letter's own task stays as it ended. Retrying a letter twice
    is one task.
    """
    return await _retried(letter, gateway)


@router.delete("/v1/dead-letters/{letter}", status_code=204, response_model=None, tags=["dead letters"])
async def drop_letter(letter: str, gateway: Gateway) -> None:
    """Forget a letter; its task stays as it is."""
    await gateway.letters.drop(letter)


async def _retried(letter: str, gateway: State) -> TaskView:
    key = f"dead-letter\n{letter}"  # no client's Idempotency-Key has a line break
    try:
        task = (await gateway.letters.get(letter)).task
    except NotFound as absent:
        try:
            return await gateway.tasks.get(begun_by(key))  # retried before
        except NotFound:
            raise absent from None
    view = await gateway.tasks.submit_again(task, key)
    with contextlib.suppress(NotFound):  # someone else retried it at the same time
        await gateway.letters.drop(letter)
    return view
