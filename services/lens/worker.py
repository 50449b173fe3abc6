"""Lens: commands to events."""

from __future__ import annotations

from atlas.commands import ClusterCandidates, ReadStatement, Score, Select, WriteInputs
from atlas.events import AnyEvent, CandidateScored
from atlas.llama import ModelServer
from atlas.worker import Context, Handler
from services.lens.clustering import cluster
from services.lens.energy import Scorer, score
from services.lens.read_statement import read_statement
from services.lens.selection import select
from services.lens.write_inputs import write_inputs


def handler(server: ModelServer, scorer: Scorer) -> Handler:
    """Return the lens's handler over a model server and the weights there are."""

    async def handle(context: Context) -> list[AnyEvent]:
        command, state = context.command, context.state
        if isinstance(command, Score):
            found = await score(context, scorer, command)
            return [
                CandidateScored(
                    command=command.id,
                    candidate=command.candidate,
                    energy=found.energy,
                    difficulty=found.difficulty,
                )
            ]
        if isinstance(command, WriteInputs):
            return [await write_inputs(context, server, command)]
        if isinstance(command, ClusterCandidates):
            return [cluster(state, command.id)]
        if isinstance(command, ReadStatement):
            return [await read_statement(context, server, command)]
        if isinstance(command, Select):
            return [select(state, command.id)]
        raise TypeError(f"not a lens command: {command.kind}")

    return handle
