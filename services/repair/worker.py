"""Repair: commands to events."""

from __future__ import annotations

from atlas.commands import EnterBruteForce, Refine, Repair, WriteBruteForce
from atlas.events import AnyEvent
from atlas.llama import ModelServer
from atlas.worker import Context, Handler
from services.repair import brute_force
from services.repair.pr_cot import repair
from services.repair.refinement import refine


def handler(server: ModelServer) -> Handler:
    """Return the repair service's handler over a model server."""

    async def handle(context: Context) -> list[AnyEvent]:
        command = context.command
        if isinstance(command, Repair):
            return [await repair(context, server, command)]
        if isinstance(command, Refine):
            return [await refine(context, server, command)]
        if isinstance(command, WriteBruteForce):
            return [await brute_force.write(context, server, command)]
        if isinstance(command, EnterBruteForce):
            return [brute_force.enter(context.state, command)]
        raise TypeError(f"not a repair command: {command.kind}")

    return handle
