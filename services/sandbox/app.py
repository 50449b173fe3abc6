"""Sandbox service, the worker side: `uvicorn services.sandbox.app:app`. Needs REDIS_URL and EXECUTOR_URL."""

from __future__ import annotations

from fastapi import FastAPI, Request
from prometheus_client import Gauge

from atlas.config import Settings
from atlas.executor import (
    ExecuteManyRequest,
    ExecuteManyResponse,
    ExecuteRequest,
    ExecuteResponse,
    ExecutorClient,
)
from atlas.service import Check, Runtime, create_service, required
from atlas.worker import Worker
from services.sandbox.worker import handler

# The executor has the same metric in its own registry; this is what its worker last heard from it.
ISOLATION = Gauge("atlas_sandbox_isolation_info", "The isolation level of every run", ["level"])


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    executor = ExecutorClient(required(runtime.settings.executor_url, "EXECUTOR_URL"))
    runtime.stack.push_async_callback(executor.aclose)
    runtime.checks["executor"] = check_executor(executor, runtime)
    jobs = runtime.settings.execution_jobs
    worker = Worker("sandbox", await runtime.journal(), handler(executor), concurrency=jobs)
    runtime.background("worker", worker.run)
    app.state.executor = executor


def check_executor(executor: ExecutorClient, runtime: Runtime) -> Check:
    """Return the readiness check of an executor, which also tells its isolation level."""

    async def check() -> str | None:
        problem = await executor.ready()
        if executor.isolation and runtime.facts.get("isolation") != executor.isolation:
            runtime.facts["isolation"] = executor.isolation
            ISOLATION.clear()
            ISOLATION.labels(executor.isolation).set(1)
        return problem

    return check


def create(settings: Settings | None = None) -> FastAPI:
    """Return the sandbox's app."""
    app = create_service("sandbox", _setup, settings)

    @app.post("/v1/execute")
    async def execute(body: ExecuteRequest, request: Request) -> ExecuteResponse:
        """Run one program on its inputs in the executor."""
        executor: ExecutorClient = request.app.state.executor
        return await executor.execute(body)

    @app.post("/v1/execute-many")
    async def execute_many(body: ExecuteManyRequest, request: Request) -> ExecuteManyResponse:
        """Run many programs on the same inputs in the executor."""
        executor: ExecutorClient = request.app.state.executor
        return await executor.execute_many(body)

    return app


app = create()
