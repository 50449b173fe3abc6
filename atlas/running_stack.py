"""The stack that runs on this machine, as it tells of itself in `DATA_DIR/run/stack.json`."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from atlas.config import Settings
from atlas.errors import StartupError


class RunningStack(BaseModel):
    """Where the parts of a running stack are; `pid` is that of `atlas up`."""

    model_config = ConfigDict(frozen=True)

    pid: int
    children: dict[str, int] = {}
    gateway_url: str
    redis_url: str | None = None
    llama_url: str | None = None
    executor_url: str | None = None

    @property
    def processes(self) -> dict[str, int]:
        """Process id by name, of those that live."""
        return {name: pid for name, pid in {"atlas up": self.pid, **self.children}.items() if alive(pid)}


def find(run_dir: Path) -> RunningStack | None:
    """Return the stack that runs on `run_dir`; None where there is none, or none of ours to look at.

    A stack that was killed leaves its file behind: what counts is that its first process lives.
    """
    try:
        stack = RunningStack.model_validate_json((run_dir / "stack.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return stack if alive(stack.pid) else None


def redis_url_of(settings: Settings) -> str:
    """Return where the journal is: REDIS_URL, or the Redis of the stack that runs here.

    Raises:
        StartupError: neither is known.
    """
    stack = find(settings.run_dir)
    url = settings.redis_url or (stack.redis_url if stack is not None else None)
    if url is None:
        raise StartupError(
            f"no stack runs on {settings.data_dir}: start it first (`atlas up`), or set REDIS_URL"
        )
    return url


def alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
