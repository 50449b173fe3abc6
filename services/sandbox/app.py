"""Sandbox service, the worker side: `uvicorn services.sandbox.app:app`. Needs REDIS_URL and EXECUTOR_URL."""

from __future__ import annotations

from fastapi import FastAPI, Request

from atlas.config import Settings
from atlas.executor import ExecuteRequest, ExecuteResponse, ExecutorClient
from atlas.service import Runtime, create_service, required
from atlas.worker import Worker
from services.sandbox.worker import handler


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    executor = ExecutorClient(required(runtime.settings.executor_url, "EXECUTOR_URL"))
    runtime.stack.push_async_callback(executor.aclose)
    runtime.checks["executor"] = executor.ready
    jobs = runtime.settings.execution_jobs
    worker = Worker("sandbox", await runtime.journal(), handler(executor), concurrency=jobs)
    runtime.background("worker", worker.run)
    app.state.executor = executor


def create(settings: Settings | None = None) -> FastAPI:
    """Return the sandbox's app."""
    app = create_service("sandbox", _setup, settings)

    @app.post("/v1/execute")
    async def execute(body: ExecuteRequest, request: Request) -> ExecuteResponse:
        """Run one program on its inputs in the executor."""
        executor: ExecutorClient = request.app.state.executor
        return await executor.execute(body)

    return app


app = create()
