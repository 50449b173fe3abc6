"""What a run did wrong, in numbers: from its journals, the request log and the times of the kills."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from atlas.events import ANSWERS, CLOSING, CandidateGenerated, Entry, ModelCallFinished
from atlas.state import InvalidHistory, TaskState, fold
from tests.chaos.request_log import Request, content_key
from tests.chaos.schedule import MODEL, STACK, Killed

KILL_TAKES_S = 1.0  # until everything that dies of it is dead
# Whose death ends a model call; that of others must not.
CALLERS = {"planner", "lens", "repair", MODEL, STACK}


@dataclass(frozen=True)
class Ended:
    """A task as it was when the run was over; `status` is `running` if it was not in time."""

    status: str
    program: str | None
    entries: Sequence[Entry]


Tasks = Mapping[str, Ended]  # by title


def different(calm: Tasks, shaken: Tasks) -> int:
    """Count the tasks that ended otherwise than without kills."""
    return sum(
        (calm[title].status, calm[title].program) != (shaken[title].status, shaken[title].program)
        for title in calm
    )


def lost(tasks: Tasks) -> int:
    """Count the tasks that did not end."""
    return sum(task.status == "running" for task in tasks.values())


def duplicated(tasks: Tasks) -> int:
    """Count what is in a journal twice and may be there once, and journals that could not have happened."""
    return sum(_duplicated(task.entries) for task in tasks.values())


def _duplicated(entries: Sequence[Entry]) -> int:
    seen: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        event = entry.event
        if isinstance(event, ModelCallFinished):
            seen["call", event.call] += 1
        elif isinstance(event, CandidateGenerated):  # one command may have several
            seen["candidate", event.candidate.id] += 1
        elif isinstance(event, ANSWERS):
            seen["answer", str(event.command)] += 1
        if isinstance(event, CLOSING):
            seen["end", ""] += 1
    twice = sum(count - 1 for count in seen.values())
    try:
        fold(TaskState(), entries)
    except InvalidHistory:
        return max(1, twice)
    return twice


def repeated_calls(tasks: Tasks, requests: Iterable[Request], kills: Sequence[Killed]) -> int:
    """Count the model calls that were made again without need.

    A call need not be made again once it is in a journal; before that it may be, if one of those who have a
    part in it was killed between one time and the next.

    Raises:
        ValueError: a journal holds a call that the server was never asked for: the two cannot be compared.
    """
    recorded = _recorded(tasks)
    asked: dict[str, list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda r: r.begin):
        asked[request.key].append(request)
    if strange := recorded.keys() - asked.keys():
        raise ValueError(f"{len(strange)} recorded calls were never asked of the model server")
    deaths = [kill.time for kill in kills if kill.target in CALLERS]
    count = 0
    for key, times in asked.items():
        known = recorded.get(key, float("inf"))
        count += sum(request.begin > known for request in times)
        needed = [request for request in times if request.begin <= known]
        broken = needed if key not in recorded else needed[:-1]
        for request, again in zip_longest(broken, needed[1 : len(broken) + 1]):
            until = again.begin if again else float("inf")
            count += not any(death <= until and request.begin <= death + KILL_TAKES_S for death in deaths)
    return count


def _recorded(tasks: Tasks) -> dict[str, float]:
    """When each call was recorded, by its content."""
    return {
        content_key(entry.event.prompt, entry.event.sampling.seed, len(entry.event.choices)): entry.time
        for task in tasks.values()
        for entry in task.entries
        if isinstance(entry.event, ModelCallFinished)
    }
