"""Routes of tasks and policies."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse
from sse_starlette.sse import EventSourceResponse

from atlas.api import SubmitRequest, TaskList, TaskView
from atlas.policy import POLICIES, Policy
from services.gateway.state import Gateway
from services.gateway.stream import events, position

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]

router = APIRouter()


@router.post("/v1/tasks", status_code=202, tags=["tasks"])
async def submit(
    body: SubmitRequest, gateway: Gateway, response: Response, idempotency_key: IdempotencyKey = None
) -> TaskView:
    """Submit a problem. With an `Idempotency-Key` the same submission twice is one task."""
    task, new = await gateway.tasks.submit(body, idempotency_key)
    response.status_code = 202 if new else 200
    response.headers["Location"] = f"/v1/tasks/{task.id}"
    return task


@router.get("/v1/tasks", tags=["tasks"])
async def list_tasks(
    gateway: Gateway,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    before: Annotated[
        float | None, Query(description="next_before of the page before", allow_inf_nan=False)
    ] = None,
) -> TaskList:
    """List tasks, newest first."""
    return await gateway.tasks.list(limit, before)


@router.get("/v1/tasks/{task}", tags=["tasks"])
async def get(task: str, gateway: Gateway) -> TaskView:
    """Look at a task; when it is decided, its program and the evidence; when it abstained, why."""
    return await gateway.tasks.get(task)


@router.post("/v1/tasks/{task}/cancel", tags=["tasks"])
async def cancel(task: str, gateway: Gateway) -> TaskView:
    """Cancel a task. Calls in flight stop within a second; a task that has ended stays as it is."""
    return await gateway.tasks.cancel(task)


@router.get("/v1/tasks/{task}/events", tags=["tasks"], response_class=EventSourceResponse)
async def stream(
    task: str, gateway: Gateway, last_event_id: Annotated[str | None, Header()] = None
) -> EventSourceResponse:
    """Stream the task's journal as server-sent events; `Last-Event-ID` resumes after that event."""
    after = position(last_event_id)
    await gateway.tasks.get(task)
    return EventSourceResponse(events(gateway.tasks.journal, task, after))


@router.get("/v1/tasks/{task}/journal", tags=["tasks"], response_class=PlainTextResponse)
async def journal(task: str, gateway: Gateway) -> Response:
    """Return the task's whole journal as JSON lines."""
    await gateway.tasks.get(task)
    lines = [entry.model_dump_json() + "\n" for entry in await gateway.tasks.journal.read(task)]
    return Response("".join(lines), media_type="application/jsonl")


@router.get("/v1/policies", tags=["policies"])
async def policies() -> list[Policy]:
    """List the policies that can be asked for by name."""
    return list(POLICIES.values())
