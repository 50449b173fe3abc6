"""Gateway service: `uvicorn services.gateway.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse
from sse_starlette.sse import EventSourceResponse

from atlas.api import SubmitRequest, TaskList, TaskView
from atlas.config import Settings
from atlas.policy import POLICIES, Policy
from atlas.service import Runtime, create_service
from services.gateway.deadlines import sweep
from services.gateway.stream import events, position
from services.gateway.tasks import Tasks


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    journal = await runtime.journal()
    server = runtime.model_server()
    runtime.background("deadline sweeper", lambda: sweep(journal))
    app.state.tasks = Tasks(journal, server, runtime.settings.task_deadline_seconds)


async def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.tasks
    return tasks


Operations = Annotated[Tasks, Depends(_tasks)]


def create(settings: Settings | None = None) -> FastAPI:
    """Return the gateway's app."""
    app = create_service("gateway", _setup, settings)

    @app.post("/v1/tasks", status_code=202, tags=["tasks"])
    async def submit(
        body: SubmitRequest,
        tasks: Operations,
        response: Response,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> TaskView:
        """Submit a problem. With an `Idempotency-Key` the same submission twice is one task."""
        task, new = await tasks.submit(body, idempotency_key)
        response.status_code = 202 if new else 200
        response.headers["Location"] = f"/v1/tasks/{task.id}"
        return task

    @app.get("/v1/tasks", tags=["tasks"])
    async def list_tasks(
        tasks: Operations,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
        before: Annotated[
            float | None, Query(description="next_before of the page before", allow_inf_nan=False)
        ] = None,
    ) -> TaskList:
        """List tasks, newest first."""
        return await tasks.list(limit, before)

    @app.get("/v1/tasks/{task}", tags=["tasks"])
    async def get(task: str, tasks: Operations) -> TaskView:
        """Look at a task; when it is decided, its program and the evidence."""
        return await tasks.get(task)

    @app.post("/v1/tasks/{task}/cancel", tags=["tasks"])
    async def cancel(task: str, tasks: Operations) -> TaskView:
        """Cancel a task. Calls in flight stop within a second; a task that has ended stays as it is."""
        return await tasks.cancel(task)

    @app.get("/v1/tasks/{task}/events", tags=["tasks"], response_class=EventSourceResponse)
    async def stream(
        task: str, tasks: Operations, last_event_id: Annotated[str | None, Header()] = None
    ) -> EventSourceResponse:
        """Stream the task's journal as server-sent events; `Last-Event-ID` resumes after that event."""
        after = position(last_event_id)
        await tasks.get(task)
        return EventSourceResponse(events(tasks.journal, task, after))

    @app.get("/v1/tasks/{task}/journal", tags=["tasks"], response_class=PlainTextResponse)
    async def journal(task: str, tasks: Operations) -> Response:
        """Return the task's whole journal as JSON lines."""
        await tasks.get(task)
        lines = [entry.model_dump_json() + "\n" for entry in await tasks.journal.read(task)]
        return Response("".join(lines), media_type="application/jsonl")

    @app.get("/v1/policies", tags=["policies"])
    async def policies() -> list[Policy]:
        """List the policies that can be asked for by name."""
        return list(POLICIES.values())

    return app


app = create()
