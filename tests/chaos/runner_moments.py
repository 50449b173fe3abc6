"""When to kill the runner: moments of a task's way through it, as they can be seen from outside."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Phase = Literal["start", "submit", "wait", "grade", "write", "finish"]
PHASES: tuple[Phase, ...] = ("start", "submit", "wait", "grade", "write")  # and "finish", the last kill
# How long after the phase was seen to begin. A process takes about a second to start (a stack, several), a
# model call about as long; grading takes tens of milliseconds, and a file is written in less than one.
DELAY_MOST_S: dict[Phase, float] = {
    "start": 1.5,
    "submit": 0.03,
    "wait": 0.8,
    "grade": 0.1,
    "write": 0.004,
    "finish": 0.05,
}
OWN_STACK_START_S = 6.0


@dataclass(frozen=True)
class Moment:
    """kill -9 of the runner, `delay_s` after `phase` is seen for the first time in this life of it.

    `alone`: only the runner itself, so that its children have to notice; else its children with it.
    """

    phase: Phase
    delay_s: float
    alone: bool


@dataclass(frozen=True)
class Sight:
    """What can be seen of a run: tasks at the gateway, calls at the model, tasks ended, files written.

    `recorded`: tasks with a record. `begun`: this life has read what there was, and goes on from there.
    """

    begun: bool = False
    submitted: int = 0
    asked: int = 0
    ended: int = 0
    recorded: int = 0
    files: frozenset[tuple[str, int]] = frozenset()


def moments(kills: int, seed: int, *, own_stack: bool = False) -> list[Moment]:
    """Return `kills` moments: the phases come round by round, each round all of them in a new order.

    The last is of the phase that comes once in a run: all tasks are recorded, and the result is written.
    """
    random_ = random.Random(f"runner {seed}")
    phases: list[Phase] = []
    while len(phases) < kills - 1:
        phases += random_.sample(PHASES, len(PHASES))
    phases[kills - 1 :] = ["finish"]
    most = DELAY_MOST_S | ({"start": OWN_STACK_START_S} if own_stack else {})
    return [Moment(phase, random_.uniform(0, most[phase]), random_.random() < 0.5) for phase in phases]


def has_begun(phase: Phase, before: Sight, now: Sight, tasks: int) -> bool:
    """Whether a phase has begun since `before`, when this life of the runner began, in a run of `tasks`."""
    if phase == "start":
        return True
    if not now.begun:
        return False
    return {
        "submit": now.submitted > before.submitted,
        "wait": now.asked > before.asked,
        "grade": now.ended > before.ended,
        "write": now.files != before.files,
        "finish": now.recorded == tasks,
    }[phase]


def next_moment(waiting: Sequence[Moment], now: Sight, tasks: int) -> Moment:
    """Return the first moment that can still come, of a run of `tasks` that has got as far as `now`.

    The stack goes on while no runner lives, so that there may be nothing left to submit or to wait for.
    """
    open_ = {
        "submit": now.submitted < tasks,
        "wait": now.ended < tasks,
        "grade": now.ended < tasks,
        "write": now.recorded < tasks,
    }
    return next((moment for moment in waiting if open_.get(moment.phase, True)), waiting[0])


def come(moment: Moment, before: Sight, now: Sight, tasks: int) -> Phase | None:
    """Return the phase in which the moment has come; None if it has not.

    Where all tasks are recorded its own phase can come no more: it is the end of a run, or another beginning.
    """
    if before.recorded == tasks:
        return "start"
    if has_begun(moment.phase, before, now, tasks):
        return moment.phase
    return "finish" if now.recorded == tasks else None


def files(run: Path) -> frozenset[tuple[str, int]]:
    """What the directory holds, unfinished files too: names and the times of their last change.

    Locks are none of it: they are taken to look, too.
    """
    found = set()
    for folder, _, names in os.walk(run):  # passes over a directory that was renamed just now
        for path in (Path(folder, name) for name in names if name != ".lock"):
            with contextlib.suppress(FileNotFoundError):
                found.add((str(path.relative_to(run)), path.stat().st_mtime_ns))
    return frozenset(found)
