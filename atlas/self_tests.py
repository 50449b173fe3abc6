"""The part of the brain that makes tests of the task's own, as further evidence for repair. Pure.

Where nothing passes the public examples, and repair is next:

    WriteBruteForce (each) ─▶ CheckBruteForce ─▶ WriteInputs ─▶ MakeInputs ─▶ MakeSelfTests ─▶ RunSelfTests

Inputs are the comparison's first round (`atlas.comparing`). An output is never one guess: it takes a quorum
of different programs that were each asked for as slow and simple, that pass every public example, and that
give the same when run. The brain stops at the first step after which there can be no quorum. A brute-force
program is asked for without regard to the limits that a right program has to keep, so it becomes a candidate
only where all else has failed: right on the examples, if perhaps slow, is better than wrong. Under a spending
rule with a prior of theirs such programs are asked for where they are worth most, and entered at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from atlas.budget import FIRST_ROUND, affordable, may_write
from atlas.commands import (
    AnyCommand,
    CheckBruteForce,
    EnterBruteForce,
    MakeInputs,
    MakeSelfTests,
    RunSelfTests,
    WriteBruteForce,
    WriteInputs,
)
from atlas.comparing import CALLS_A_ROUND
from atlas.contracts import Candidate
from atlas.extract import structure
from atlas.state import TaskState

WRITE = "brute_force"


def work(state: TaskState, shown: Sequence[Candidate]) -> list[AnyCommand]:
    """Return what is to be done before a repair that is shown these failing candidates; empty: nothing."""
    policy = state.task.policy
    if not policy.self_tests:
        return []
    if not are_weighed(state) and (step := begun(state) or next_program(state)):
        return step
    if len(references(state)) < policy.quorum:
        return []
    return _inputs(state) or _tests(state, shown)


def are_weighed(state: TaskState) -> bool:
    """Whether brute-force programs come when they are worth more than what else could be done."""
    spending = state.task.spending
    return spending is not None and spending.brute_force is not None


def begun(state: TaskState) -> list[AnyCommand]:
    """Return what checks a brute-force program that is written."""
    waiting = [name for name in state.brute_forces if not state.done(f"check:{name}")]
    return [CheckBruteForce(id=f"check:{name}", program=name) for name in waiting]


def next_program(state: TaskState) -> list[AnyCommand]:
    """Return what asks for the next brute-force program; empty where the policy or the budget has none."""
    for index in range(state.task.policy.brute_forces):
        name = f"{WRITE}:{index}"
        if not state.done(name):
            return [WriteBruteForce(id=name, index=index)] if affordable(state, name, 1) else []
    return []


def last_resort(state: TaskState) -> list[AnyCommand]:
    """Return what makes a brute-force program a candidate; empty where none passes, or one is entered."""
    passing = next(iter(references(state)), None)
    if passing is None or state.done(f"enter:{passing}"):
        return []
    written_by = f"{WRITE}:{passing.removeprefix('b')}"
    return [EnterBruteForce(id=f"enter:{passing}", program=passing, written_by=written_by)]


def references(state: TaskState) -> dict[str, str]:
    """Return the brute-force programs that pass every public example, by name; of equal ones the first.

    A program that another only formats or comments otherwise would agree with it on anything.
    """
    first: dict[str, tuple[str, str]] = {}
    for name, code in state.brute_forces.items():
        checked = state.brute_force_checks.get(name)
        if checked is not None and checked.all_passed:
            first.setdefault(structure(code), (name, code))
    return dict(first.values())


def _inputs(state: TaskState) -> list[AnyCommand]:
    if not state.done(FIRST_ROUND) and may_write(state, FIRST_ROUND, CALLS_A_ROUND):
        return [WriteInputs(id=FIRST_ROUND, round=0)]
    if not state.done("inputs:0"):
        return [MakeInputs(id="inputs:0", round=0)]
    return []


def _tests(state: TaskState, shown: Sequence[Candidate]) -> list[AnyCommand]:
    made = state.inputs.get(0)
    if made is None or not made.inputs:
        return []
    if not state.done("self_tests"):
        return [MakeSelfTests(id="self_tests")]
    waiting = [c.id for c in shown if not state.done(f"self_tests:{c.id}")] if state.self_tests else []
    return [RunSelfTests(id=f"self_tests:{name}", candidate=name) for name in waiting]
