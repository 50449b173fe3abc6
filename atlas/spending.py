"""A sample, a plan, a brute-force program or a repair: what is expected to bring most for a token. Pure.

Each way of spending is an arm whose chance to pass every public example has a Beta prior; the tries of the
task at hand, all failed so far, make it smaller. They count whole against their own arm, and in part
(`shared`) against the others: a problem that one way fails on is harder for all. One with a long statement is
harder to begin with (`length`). What a try costs begins at the prior's tokens, which count as one try, and
follows what the task's tries took. The value of an arm is its chance over its cost: the rate at which its
next try is expected to end the task; where none is worth the policy's `price`, the task ends as it is. Priors
are pinned in the policy: all workers decide alike. `python -m benchmark.fit_spending` fits them to recorded
tasks, whose tries it counts by `tries` as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from atlas.contracts import Candidate
from atlas.policy import Arm, Spending
from atlas.self_tests import WRITE
from atlas.state import TaskState

ArmName = Literal["sample", "plan", "brute_force", "repair"]
ARMS: tuple[ArmName, ...] = ("sample", "plan", "brute_force", "repair")  # of equal ones the first
REPAIRING = ("repair:", "refine:")
TYPICAL = 500  # characters of a statement: priors are for one of that length


@dataclass(frozen=True)
class Try:
    """A try whose outcome is known: whether it passes every public example, and its tokens.

    `name`: its candidate's, whether or not a program came of it.
    """

    passed: bool
    tokens: int
    name: str = field(default="", compare=False)


# A task's tries of each arm, in the order in which they were made.
Tries = Mapping[ArmName, tuple[Try, ...]]


def tries(state: TaskState) -> Tries:
    """Return the task's tries so far; programs that have not been run are none yet.

    A sample costs its own tokens, a planned one its part of the planning too. A repair costs all calls of its
    command, its analysis too, and is a failed try where no program came of it (an unusable answer, a program
    that was tried before), as of a brute-force program.
    """
    planning = _counted(state, "plans") // len(state.plans) if state.plans else 0
    drawn: dict[ArmName, list[Try]] = {"sample": [], "plan": []}
    for each in state.candidates.values():
        if each.first_hand and _known(state, each.id):
            arm, tokens = _drawn_by(each), each.usage.tokens_out
            drawn[arm].append(Try(_passes(state, each.id), tokens + planning * (arm == "plan"), each.id))
    repairs = []
    for command in sorted((c for c in state.answered if c.startswith(REPAIRING)), key=_in_order):
        name = f"{'r' if command.startswith('repair') else 'f'}{command.partition(':')[2]}"
        if name not in state.candidates or _known(state, name):
            repairs.append(Try(_passes(state, name), _tokens(state, command, name), name))
    samples, plans, brute_forces = (tuple(each) for each in (*drawn.values(), _brute_forces(state)))
    return {"sample": samples, "plan": plans, "brute_force": brute_forces, "repair": tuple(repairs)}


def best(
    spending: Spending, done: Tries, among: Collection[ArmName], harder: float = 1.0, price: float = 0.0
) -> ArmName | None:
    """Return the arm of those that are possible whose next try is worth most, given the task's failed tries.

    None where none is possible or worth the price. `harder`: see `hardness`.
    """
    worth = worths(spending, done, among, harder)
    worthwhile = [arm for arm in ARMS if arm in worth and worth[arm] >= price]
    return max(worthwhile, key=lambda arm: worth[arm], default=None)


def worths(
    spending: Spending, done: Tries, among: Collection[ArmName], harder: float = 1.0
) -> dict[ArmName, float]:
    """Return what the next try of each possible arm is worth, given the task's failed tries: see `value`.

    Without a prior of plans their tries are samples like others, and without one of brute-force programs,
    which then come before repairs, theirs are repairs.
    """
    priors: dict[ArmName, Arm] = {"sample": spending.sample, "repair": spending.repair}
    if spending.plan is None:
        done = {**done, "sample": (*done["sample"], *done["plan"]), "plan": ()}
    else:
        priors["plan"] = spending.plan
    if spending.brute_force is None:
        done = {**done, "repair": (*done["brute_force"], *done["repair"]), "brute_force": ()}
    else:
        priors["brute_force"] = spending.brute_force
    every = sum(map(len, done.values()))
    return {
        arm: value(prior, done[arm], spending.shared * (every - len(done[arm])), harder)
        for arm, prior in priors.items()
        if arm in among
    }


def hardness(length: float, characters: int) -> float:
    """Return what a statement of so many characters multiplies the priors' `wrong` by: see `Spending`."""
    return float((max(characters, 1) / TYPICAL) ** length)


def value(arm: Arm, failed: Sequence[Try], elsewhere: float = 0.0, harder: float = 1.0) -> float:
    """Return the chance per generated token of an arm's next try, after these have failed.

    `elsewhere`: what the other arms' failures count; `harder`: see `hardness`.
    """
    chance = arm.right / (arm.right + harder * arm.wrong + len(failed) + elsewhere)
    tokens = (arm.tokens + sum(each.tokens for each in failed)) / (1 + len(failed))
    return chance / max(tokens, 1.0)


def _drawn_by(candidate: Candidate) -> Literal["sample", "plan"]:
    return "sample" if candidate.plan is None else "plan"


def _known(state: TaskState, name: str) -> bool:
    return name in state.executions or state.candidates[name].code is None


def _passes(state: TaskState, name: str) -> bool:
    return name in state.executions and state.executions[name].all_passed


def _brute_forces(state: TaskState) -> list[Try]:
    made = []
    for command in sorted((c for c in state.answered if c.startswith(f"{WRITE}:")), key=_in_order):
        name = f"b{command.partition(':')[2]}"
        checked = state.brute_force_checks.get(name)
        if checked is not None or name not in state.brute_forces:
            passed = checked is not None and checked.all_passed
            made.append(Try(passed, _counted(state, command), name))
    return made


def _tokens(state: TaskState, command: str, name: str) -> int:
    made = state.candidates.get(name)
    return _counted(state, command) or (made.usage.tokens_out if made else 0)


def _counted(state: TaskState, command: str) -> int:
    calls = [call for call in state.calls.values() if call.command == command]
    return sum(choice.usage.tokens_out for call in calls for choice in call.choices)


def _in_order(command: str) -> tuple[bool, int]:
    kind, _, number = command.partition(":")
    return kind == "refine", int(number)
