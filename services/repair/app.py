"""Repair service: `uvicorn services.repair.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from dataclasses import replace

from fastapi import FastAPI, Request
from pydantic import Field

from atlas.commands import Repair
from atlas.config import Settings
from atlas.contracts import (
    MAX_CODE_CHARS,
    Candidate,
    Contract,
    Execution,
    Perspective,
    Problem,
    SamplingParams,
    Usage,
)
from atlas.events import TaskSubmitted
from atlas.llama import ModelServer
from atlas.pins import current_pins
from atlas.policy import Policy
from atlas.service import Runtime, create_service
from atlas.worker import Worker, direct
from services.repair import pr_cot
from services.repair.worker import handler


class RepairRequest(Contract):
    """A failing program, how it did on the problem's public examples, and how to look at it."""

    problem: Problem
    code: str = Field(max_length=MAX_CODE_CHARS)
    execution: Execution
    perspective: Perspective = "logical_consistency"
    policy: Policy = Policy(name="direct")


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    server = runtime.model_server()
    slots = runtime.settings.total_slots
    worker = Worker("repair", await runtime.journal(), handler(server), concurrency=slots)
    runtime.background("worker", worker.run)
    app.state.server = server


def create(settings: Settings | None = None) -> FastAPI:
    """Return the repair service's app."""
    app = create_service("repair", _setup, settings)

    @app.post("/v1/repair")
    async def repair(body: RepairRequest, request: Request) -> Candidate:
        """Ask the model for one mended program, from the public examples it fails; not executed."""
        server: ModelServer = request.app.state.server
        pins = await current_pins(server)
        submitted = TaskSubmitted(problem=body.problem, policy=body.policy, pins=pins, deadline_s=3600)
        command = Repair(id="repair:0", index=0, candidate="c0", perspective=body.perspective)
        context = direct(submitted, command)
        sampling = SamplingParams(temperature=0, max_tokens=1, seed=0)
        broken = Candidate(id="c0", origin="sample", code=body.code, sampling=sampling, usage=Usage())
        context.state = replace(context.state, candidates={"c0": broken}, executions={"c0": body.execution})
        return (await pr_cot.repair(context, server, command)).candidate

    return app


app = create()
