"""One more sample or one more repair: whichever is expected to bring more for a token. Pure.

Each way of spending is an arm whose chance to pass every public example has a Beta prior; the tries of the
task at hand, all failed so far, make it smaller. What a try costs begins at the prior's tokens, which count
as one try, and follows what the task's tries took. The value of an arm is its chance over its cost: the rate
at which its next try is expected to end the task. Priors are pinned in the policy: all workers decide alike.
`python -m benchmark.fit_spending` fits them to recorded tasks, whose tries it counts by `tries` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlas.policy import Arm, Spending
from atlas.state import TaskState

REPAIRING = ("repair:", "refine:")


@dataclass(frozen=True)
class Try:
    """A sample or a repair whose outcome is known: whether it passes every public example, and its tokens."""

    passed: bool
    tokens: int


@dataclass(frozen=True)
class Tries:
    """A task's tries of both arms, in the order in which they were made."""

    samples: tuple[Try, ...]
    repairs: tuple[Try, ...]


def tries(state: TaskState) -> Tries:
    """Return the task's tries so far; programs that have not been run are none yet.

    A repair costs all calls of its command, its analysis too, and is a failed try where no program came of
    it (an unusable answer, a program that was tried before). A sample costs its own tokens.
    """
    samples = [
        Try(_passes(state, c.id), c.usage.tokens_out)
        for c in state.candidates.values()
        if c.origin != "repair" and _known(state, c.id)
    ]
    repairs = []
    for command in sorted((c for c in state.answered if c.startswith(REPAIRING)), key=_in_order):
        name = f"{'r' if command.startswith('repair') else 'f'}{command.partition(':')[2]}"
        if name not in state.candidates or _known(state, name):
            repairs.append(Try(_passes(state, name), _tokens(state, command, name)))
    return Tries(tuple(samples), tuple(repairs))


def repair_is_better(spending: Spending, done: Tries) -> bool:
    """Whether the next repair is worth more than the next sample, given the task's failed tries of both."""
    return value(spending.repair, done.repairs) > value(spending.sample, done.samples)


def value(arm: Arm, failed: Sequence[Try]) -> float:
    """Return the chance per generated token of an arm's next try, after these have failed."""
    chance = arm.right / (arm.right + arm.wrong + len(failed))
    tokens = (arm.tokens + sum(each.tokens for each in failed)) / (1 + len(failed))
    return chance / max(tokens, 1.0)


def _known(state: TaskState, name: str) -> bool:
    return name in state.executions or state.candidates[name].code is None


def _passes(state: TaskState, name: str) -> bool:
    return name in state.executions and state.executions[name].all_passed


def _tokens(state: TaskState, command: str, name: str) -> int:
    calls = [call for call in state.calls.values() if call.command == command]
    counted = sum(choice.usage.tokens_out for call in calls for choice in call.choices)
    made = state.candidates.get(name)
    return counted or (made.usage.tokens_out if made else 0)


def _in_order(command: str) -> tuple[bool, int]:
    kind, _, number = command.partition(":")
    return kind == "refine", int(number)
