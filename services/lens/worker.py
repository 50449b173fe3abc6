"""Lens: commands to events."""

from __future__ import annotations

from atlas.contracts import Score, Select
from atlas.events import AnyEvent, CandidateScored
from atlas.worker import Context
from services.lens.energy import score
from services.lens.selection import select


async def handle(context: Context) -> list[AnyEvent]:
    """Score a candidate or choose the one program."""
    command, state = context.command, context.state
    if isinstance(command, Score):
        energy = score(state.task.pins.model)
        return [CandidateScored(command=command.id, candidate=command.candidate, energy=energy)]
    if isinstance(command, Select):
        return [select(state, command.id)]
    raise TypeError(f"not a lens command: {command.kind}")
