"""Repair service: `uvicorn services.repair.app:app`. It has no strategy yet, and says so.

`decide` asks for no repair, so there is no command to carry out and no worker to run.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import Field

from atlas.config import Settings
from atlas.contracts import MAX_CODE_CHARS, Contract, Problem, Unavailable
from atlas.service import Runtime, create_service


class RepairRequest(Contract):
    """A failing program for a problem; the evidence is the problem's public examples."""

    problem: Problem
    code: str = Field(max_length=MAX_CODE_CHARS)


async def _setup(_: FastAPI, runtime: Runtime) -> None:
    await runtime.journal()


def create(settings: Settings | None = None) -> FastAPI:
    """Return the repair service's app."""
    app = create_service("repair", _setup, settings)

    @app.post("/v1/repair")
    async def repair(_: RepairRequest) -> Unavailable:
        """Return a mended program; for now always `unavailable`."""
        return Unavailable(reason="repair is not built yet; no policy asks for it")

    return app


app = create()
