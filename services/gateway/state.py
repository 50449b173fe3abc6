"""What the gateway's routes work with: made once at start, handed to each request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from atlas.api_keys import ApiKeys
from atlas.dead_letters import DeadLetters
from atlas.errors import ModelServerError
from atlas.llama import LlamaClient
from atlas.llama_fleet import LlamaFleet
from atlas.service import Runtime
from services.gateway.pass_through import PassThrough
from services.gateway.tasks import Tasks

MODEL_WAIT_S = 3.0


@dataclass(frozen=True)
class State:
    """The gateway's operations and connections."""

    runtime: Runtime
    tasks: Tasks
    letters: DeadLetters
    server: LlamaClient | LlamaFleet
    keys: ApiKeys
    model: PassThrough

    async def model_name(self) -> str | None:
        """Return the served model's alias; None if llama-server does not say it soon."""
        try:
            return await asyncio.wait_for(self.server.model(), MODEL_WAIT_S)
        except (ModelServerError, asyncio.TimeoutError):
            return None


async def _state(request: Request) -> State:
    state: State = request.app.state.gateway
    return state


Gateway = Annotated[State, Depends(_state)]
