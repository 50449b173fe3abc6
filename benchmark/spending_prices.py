"""What a price of the spending rule costs and saves: recorded tries, played in the rule's order. Pure.

The rule decides as in a task (`atlas.spending.best`), and a try has the outcome of the next recorded one of
its arm. Where none is left of an arm it cannot be chosen: no price then shows what more of it would bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from atlas.budget import LEAST_TOKENS
from atlas.contracts import Contract
from atlas.policy import Spending
from atlas.spending import ARMS, ArmName, Tries, Try, best, hardness

PRICES = (0.0, 0.0001, 0.0002, 0.0003, 0.0005, 0.0007, 0.001, 0.002)


@dataclass(frozen=True)
class Recorded:
    """A model's tries of a task, of each arm in order; `characters`: the statement's length."""

    model: str
    tries: Tries
    characters: int


class Played(Contract):
    """What came of a model's tasks at a price: how many passed their examples, and their mean tokens."""

    model: str
    price: float
    tasks: int
    passed: int
    tokens: float


def merged(courses: Iterable[Sequence[tuple[ArmName, Try]]]) -> Tries:
    """Return a task's tries of several runs, each once: runs of one plan share what they draw."""
    found: dict[ArmName, list[Try]] = {arm: [] for arm in ARMS}
    known: set[tuple[ArmName, str, int, bool]] = set()
    for course in courses:
        for arm, tried in course:
            same = (arm, tried.name, tried.tokens, tried.passed)
            if same not in known:
                known.add(same)
                found[arm].append(tried)
    return {arm: tuple(of_arm) for arm, of_arm in found.items()}


def play(spending: Spending, task: Recorded, price: float, budget: int) -> tuple[bool, int]:
    """Return whether a try passes before the rule, the budget or the record ends the task, and its tokens.

    The first try is a sample, as in a task: the other ways are for what has failed. A try is begun with 64
    tokens left of the budget, and counts whole.
    """
    harder = hardness(spending.length, task.characters)
    done: dict[ArmName, tuple[Try, ...]] = dict.fromkeys(ARMS, ())
    spent = 0
    while budget - spent >= LEAST_TOKENS:
        left = [arm for arm in ARMS if len(done[arm]) < len(task.tries[arm])]
        begun = bool(done["sample"])
        among = [arm for arm in left if begun or arm == "sample"]
        arm = best(spending, done, among, harder, price if begun else 0.0)
        if arm is None:
            break
        tried = task.tries[arm][len(done[arm])]
        done[arm] = (*done[arm], tried)
        spent += tried.tokens
        if tried.passed:
            return True, spent
    return False, spent


def played(
    spending: Spending, tasks: Sequence[Recorded], budget: int, of: Mapping[str, Spending] | None = None
) -> tuple[Played, ...]:
    """Play each model's tasks at each of `PRICES`; tasks without a sample are left out.

    `of`: priors of a model's own, instead.
    """
    by_model: Mapping[str, list[Recorded]] = {
        model: [task for task in tasks if task.model == model and task.tries["sample"]]
        for model in sorted({task.model for task in tasks})
    }
    found = []
    for model, of_model in by_model.items():
        priors = (of or {}).get(model, spending)
        for price in PRICES if of_model else ():
            ends = [play(priors, task, price, budget) for task in of_model]
            passed, tokens = sum(end[0] for end in ends), fmean(end[1] for end in ends)
            row = Played(model=model, price=price, tasks=len(ends), passed=passed, tokens=round(tokens, 1))
            found.append(row)
    return tuple(found)
