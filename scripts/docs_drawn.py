"""Drawings of tasks for docs/PIPELINE.md: what was issued, which calls it made, and why the task ended."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from atlas.events import AnyEvent, CommandsIssued, ModelCallFinished, TaskDecided
from atlas.pipeline import possible
from atlas.spending import ARMS, ArmName, hardness, tries, worths
from atlas.state import TaskState, apply

# The commands that carry out an arm, by how their ids begin.
ARM_OF: dict[str, ArmName] = {
    "generate": "sample",
    "plans": "plan",
    "brute_force": "brute_force",
    "repair": "repair",
    "refine": "repair",
}


def drawn(events: Sequence[AnyEvent]) -> str:
    """Return a task's commands in their order, each with its calls in brackets, and its end."""
    lines = ["submitted"]
    for ids in (event.ids for event in events if isinstance(event, CommandsIssued)):
        made = [call for name in ids for call in _calls(events, name)]
        line = f"  → {' + '.join(ids)}" + (f" ({', '.join(made)})" if made else "")
        lines.append(textwrap.fill(line, 110, subsequent_indent=" " * 8, break_on_hyphens=False))
    return "\n".join(["```", *lines, _end(events), "```"])


def weighed(events: Sequence[AnyEvent]) -> str:
    """Return the spending rule's choices in a task: what each way was worth, and what came next."""
    rows = [f"| next | {' | '.join(ARMS)} |", "|---" * (len(ARMS) + 1) + "|"]
    for state, command in _choices(events):
        worth = _worths(state)
        chosen = ARM_OF.get(command.partition(":")[0])
        cells = [f"{1000 * worth[arm]:.3f}" if arm in worth else "" for arm in ARMS]
        marked = [f"**{cell}**" if arm == chosen else cell for arm, cell in zip(ARMS, cells, strict=True)]
        rows.append(f"| `{command}` | {' | '.join(marked)} |")
    return "\n".join(rows)


def _worths(state: TaskState) -> dict[ArmName, float]:
    spending = state.task.spending
    if spending is None:
        return {}
    harder = hardness(spending.length, len(state.task.problem.statement))
    return worths(spending, tries(state), possible(state), harder)


def _choices(events: Sequence[AnyEvent]) -> Iterator[tuple[TaskState, str]]:
    """Each state in which the next way to spend was chosen, or the end, and the command that came of it."""
    state = TaskState()
    for event in events:
        if isinstance(event, CommandsIssued):
            for name in event.ids:
                if name.partition(":")[0] in ARM_OF or name == "select":
                    yield state, name
        state = apply(state, event)


def _calls(events: Sequence[AnyEvent], command: str) -> list[str]:
    calls = [event.call for event in events if isinstance(event, ModelCallFinished)]
    return [call.removeprefix(f"{command}/") for call in calls if call.startswith(f"{command}/")]


def _end(events: Sequence[AnyEvent]) -> str:
    end = events[-1]
    if not isinstance(end, TaskDecided):
        return end.type
    stop = end.evidence.stopped
    return f"decided: {end.candidate}" + (f", drawing stopped by '{stop.rule}'" if stop else "")
