"""What the gateway's routes work with: made once at start, handed to each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from atlas.api_keys import ApiKeys
from atlas.dead_letters import DeadLetters
from atlas.llama import LlamaClient
from atlas.service import Runtime
from services.gateway.tasks import Tasks


@dataclass(frozen=True)
class State:
    """The gateway's operations and connections."""

    runtime: Runtime
    tasks: Tasks
    letters: DeadLetters
    server: LlamaClient
    keys: ApiKeys


async def _state(request: Request) -> State:
    state: State = request.app.state.gateway
    return state


Gateway = Annotated[State, Depends(_state)]
