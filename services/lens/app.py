"""Lens service: `uvicorn services.lens.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import Field

from atlas.config import Settings
from atlas.contracts import MAX_CODE_CHARS, Contract, EnergyScore, Problem
from atlas.service import Runtime, create_service
from atlas.worker import Worker
from services.lens.energy import score
from services.lens.routes import router
from services.lens.worker import handler


class ScoreRequest(Contract):
    """A program for a problem, written by `model`."""

    problem: Problem
    code: str = Field(max_length=MAX_CODE_CHARS)
    model: str


async def _setup(_: FastAPI, runtime: Runtime) -> None:
    slots = runtime.settings.total_slots
    # Choosing takes no time, and is not to wait behind those that write inputs, one for each slot at most.
    handle = handler(runtime.model_server())
    worker = Worker("lens", await runtime.journal(), handle, concurrency=slots + 1)
    runtime.background("worker", worker.run)


def create(settings: Settings | None = None) -> FastAPI:
    """Return the lens's app."""
    app = create_service("lens", _setup, settings)
    app.include_router(router)

    @app.post("/v1/score")
    async def score_program(body: ScoreRequest) -> EnergyScore:
        """Return the program's energy, or `unavailable` with the reason."""
        return score(body.model)

    return app


app = create()
