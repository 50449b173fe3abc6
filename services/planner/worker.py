"""Planner: commands to events."""

from __future__ import annotations

from atlas.commands import Generate, MakePlans
from atlas.events import AnyEvent
from atlas.llama import ModelServer
from atlas.worker import Context, Handler
from services.planner.plan_search import make_plans
from services.planner.sampling import generate


def handler(server: ModelServer, slots: int) -> Handler:
    """Return the planner's handler over a model server with so many slots."""

    async def handle(context: Context) -> list[AnyEvent]:
        command = context.command
        if isinstance(command, MakePlans):
            return [await make_plans(context, server, command)]
        if isinstance(command, Generate):
            return [*await generate(context, server, command, slots)]
        raise TypeError(f"not a planner command: {command.kind}")

    return handle
