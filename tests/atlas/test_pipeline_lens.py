"""The brain with the Lens: what is scored when, and what waits for it."""

from __future__ import annotations

from brain_steps import OK, WRONG, begin, executed, generated, ids
from histories import WEIGHED, submission

from atlas.commands import MakePlans
from atlas.contracts import Energy
from atlas.events import CandidateScored
from atlas.pipeline import advance, decide
from atlas.policy import Part, Policy
from atlas.state import TaskState


def scored(state: TaskState, candidate: str, value: float) -> TaskState:
    energy = Energy(value=value, weights="w")
    event = CandidateScored(command=f"score:{candidate}", candidate=candidate, energy=energy)
    return advance(state, [event]).state


def test_with_lens_weights_plans_do_not_wait_for_the_baselines_run() -> None:
    policy = Policy(name="p", k=4, probe=True, plans=1, perturbations=2, extras=(Part.LENS,))
    state = generated(begin(submission(policy, weights="w")), 0)
    assert decide(state) == {MakePlans(id="plans", n=1)}


def test_with_lens_weights_candidates_run_lowest_energy_first_and_stop_at_the_first_that_passes() -> None:
    state = begin(submission(Policy(name="p", k=3, extras=(Part.LENS,)), weights="w"))
    for index in range(3):
        state = generated(state, index)
    assert ids(state) == {"score:c0", "score:c1", "score:c2"}
    for index, value in enumerate([3.0, 1.0, 2.0]):
        state = scored(state, f"c{index}", value)
    assert ids(state) == {"execute:c1"}
    state = executed(state, 1, WRONG, OK)
    assert ids(state) == {"execute:c2"}
    assert ids(executed(state, 2, OK, OK)) == {"select"}


def test_under_a_spending_rule_candidates_run_as_they_come_and_are_scored_by_what_that_told() -> None:
    policy = Policy(name="p", k=3, extras=(Part.LENS,), spending=WEIGHED)
    state = generated(begin(submission(policy, weights="w")), 0)
    assert ids(state) == {"execute:c0"}
    state = executed(state, 0, WRONG)
    assert ids(state) == {"score:c0", "generate:1"}, "the next sample does not wait for the energy"
    state = executed(generated(state, 1), 1, OK)
    assert ids(state) == {"score:c0", "score:c1"}, "the choice does"
    for name in ("c0", "c1"):
        state = scored(state, name, 1.0)
    assert ids(state) == {"select"}


def test_weights_are_not_looked_at_by_a_policy_without_the_lens() -> None:
    state = generated(begin(submission(Policy(name="p", k=1), weights="w")), 0)
    assert ids(state) == {"execute:c0"}
