"""Lens service: `uvicorn services.lens.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from fastapi import FastAPI

from atlas.config import Settings
from atlas.lens.table import Shelf, directories
from atlas.service import Runtime, create_service
from atlas.worker import Worker
from services.lens import routes, routes_scoring
from services.lens.energy import Scorer
from services.lens.worker import handler


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    slots = runtime.settings.total_slots
    server, scorer = runtime.model_server(), Scorer(Shelf(directories(runtime.settings.data_dir)))
    app.state.server, app.state.scorer = server, scorer
    # Choosing takes no time, and is not to wait behind those that write inputs, one for each slot at most.
    worker = Worker("lens", await runtime.journal(), handler(server, scorer), concurrency=slots + 1)
    runtime.background("worker", worker.run)


def create(settings: Settings | None = None) -> FastAPI:
    """Return the lens's app."""
    app = create_service("lens", _setup, settings)
    app.include_router(routes.router)
    app.include_router(routes_scoring.router)
    return app


app = create()
