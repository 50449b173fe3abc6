"""Goes through the steps: does what does not hold yet, notes what is done, says where it stopped and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from atlas.errors import AtlasError, InfrastructureError
from atlas.k3s.machine import Machine
from atlas.k3s.state import STATE_FILE, read_state, record
from atlas.k3s.steps import Step


@dataclass(frozen=True)
class Planned:
    """A step, and whether it is left to do."""

    step: Step
    todo: bool


def plan(steps: Sequence[Step], done: dict[str, str]) -> list[Planned]:
    """Say of every step whether it is left: never done with this input, or it holds no more.

    After one that is left, the others' state tells nothing and they are looked at when their turn comes.
    """
    planned: list[Planned] = []
    for step in steps:
        before = any(each.todo for each in planned)
        planned.append(Planned(step, before or not _done(step, done)))
    return planned


def carry_out(
    machine: Machine, steps: Sequence[Step], tell: Callable[[str], None], state: str = STATE_FILE
) -> None:
    """Do what is left, in order; each is noted in `state` as it is done, so that the next call goes on here.

    Raises:
        InfrastructureError: a step failed; says which, why, and how to go on.
    """
    for number, step in enumerate(steps, start=1):
        head = f"[{number}/{len(steps)}] {step.name}"
        if _done(step, read_state(machine, state)):
            tell(f"{head}: holds")
            continue
        tell(f"{head}: {step.says}")
        try:
            step.do()
            record(machine, step.name, digest(step), state)
        except (AtlasError, OSError) as error:
            again = "The same command goes on from there, once that is mended."
            raise InfrastructureError(
                f"step {step.name} failed: {error}\n{again}", retryable=False
            ) from error


def digest(step: Step) -> str:
    """Return what tells one step's input from another's."""
    return hashlib.sha256(f"{step.name}\n{step.digest}".encode()).hexdigest()[:16]


def _done(step: Step, done: dict[str, str]) -> bool:
    if done.get(step.name) != digest(step):
        return False
    try:
        return step.holds()
    except (AtlasError, OSError):
        return False  # what cannot be seen to hold is done again
