"""Gateway service: `uvicorn services.gateway.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from fastapi import FastAPI

from atlas.api_keys import ApiKeys
from atlas.config import Settings
from atlas.dead_letters import DeadLetters
from atlas.service import Runtime, create_service
from services.gateway import routes_openai, routes_operations, routes_tasks
from services.gateway.deadlines import sweep
from services.gateway.guard import Guard
from services.gateway.openai_errors import OpenAIErrors
from services.gateway.pass_through import PassThrough
from services.gateway.state import State
from services.gateway.tasks import Tasks


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    journal = await runtime.journal()
    server = runtime.model_server()
    runtime.background("deadline sweeper", lambda: sweep(journal))
    tasks = Tasks(journal, server, runtime.settings)
    model = PassThrough(server.addresses)
    runtime.stack.push_async_callback(model.aclose)
    letters, keys = DeadLetters(journal.redis), ApiKeys(journal.redis)
    app.state.gateway = State(runtime, tasks, letters, server, keys, model)


def create(settings: Settings | None = None) -> FastAPI:
    """Return the gateway's app."""
    app = create_service("gateway", _setup, settings)
    app.include_router(routes_tasks.router)
    app.include_router(routes_openai.router)
    app.include_router(routes_operations.router)
    app.add_middleware(Guard)
    app.add_middleware(OpenAIErrors)  # around the guard, whose refusals it puts into OpenAI's form
    return app


app = create()
