"""Planner service: `uvicorn services.planner.app:app`. Needs REDIS_URL and LLAMA_URL."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from atlas.commands import Generate, MakePlans
from atlas.config import Settings
from atlas.contracts import Candidate, Contract, Plan, Problem
from atlas.events import TaskSubmitted
from atlas.llama import ModelServer
from atlas.pins import current_pins
from atlas.policy import Policy
from atlas.service import Runtime, create_service
from atlas.worker import Worker, direct
from services.planner.plan_search import make_plans
from services.planner.sampling import generate
from services.planner.worker import handler


class DirectRequest(Contract):
    """A problem and how to spend on it, outside any task."""

    problem: Problem
    policy: Policy = Policy(name="direct")


async def _setup(app: FastAPI, runtime: Runtime) -> None:
    server = runtime.model_server()
    # Admission: no more tasks generate at once than the servers have slots, so that each keeps its cache.
    slots = runtime.settings.slots
    journal, total = await runtime.journal(), runtime.settings.total_slots
    worker = Worker("planner", journal, handler(server, slots), concurrency=total)
    runtime.background("worker", worker.run)
    app.state.server, app.state.slots = server, slots


async def _server(request: Request) -> ModelServer:
    server: ModelServer = request.app.state.server
    return server


Server = Annotated[ModelServer, Depends(_server)]


async def _submitted(body: DirectRequest, server: ModelServer) -> TaskSubmitted:
    pins = await current_pins(server)
    return TaskSubmitted(problem=body.problem, policy=body.policy, pins=pins, deadline_s=3600)


def create(settings: Settings | None = None) -> FastAPI:
    """Return the planner's app."""
    app = create_service("planner", _setup, settings)

    @app.post("/v1/plans")
    async def plans(body: DirectRequest, server: Server) -> list[Plan]:
        """Plan without solving: `policy.plans` plans (at least one)."""
        command = MakePlans(id="plans", n=max(1, body.policy.plans))
        return list(
            (await make_plans(direct(await _submitted(body, server), command), server, command)).plans
        )

    @app.post("/v1/candidates")
    async def candidates(body: DirectRequest, server: Server, request: Request) -> list[Candidate]:
        """Draw `policy.k` candidates from the problem alone, unexecuted."""
        command = Generate(id="generate:0", first=0, n=body.policy.k)
        context = direct(await _submitted(body, server), command)
        events = await generate(context, server, command, request.app.state.slots)
        return [event.candidate for event in events]

    return app


app = create()
