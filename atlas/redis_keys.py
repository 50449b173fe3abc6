"""Every key this project uses in Redis, all under one hash tag so that one script may touch them together."""

from __future__ import annotations

from atlas.commands import PRIORITIES, Priority

GROUP = "workers"

API_KEYS = "{atlas}:api_keys"
DEAD = "{atlas}:dead"
DEADLINES = "{atlas}:deadlines"
LATE_TOKENS = "{atlas}:late_tokens"
STOPPED = "{atlas}:stopped"
TASKS = "{atlas}:tasks"


def journal(task: str) -> str:
    """Return the stream of a task's events."""
    return f"{{atlas}}:journal:{task}"


def marks(task: str) -> str:
    """Return the set of what was issued, answered and closed in a task."""
    return f"{{atlas}}:marks:{task}"


def blob(sha256: str) -> str:
    """Return the string that holds an event too long for its stream."""
    return f"{{atlas}}:blob:{sha256}"


def queue(service: str, priority: Priority) -> str:
    """Return the stream of a service's commands of one priority."""
    return f"{{atlas}}:queue:{service}:{priority}"


def queues(service: str) -> list[str]:
    """Return a service's streams, the most urgent first."""
    return [queue(service, priority) for priority in PRIORITIES]
