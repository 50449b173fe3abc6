"""The spending rule: chance per token, smaller with every failed try, dearer with every long one."""

from __future__ import annotations

import pytest
from histories import SAMPLING, USAGE, model_call, submission
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Candidate, Execution, TestResult, Usage, Verdict
from atlas.events import CandidateGenerated, CommandFailed, ExecutionFinished
from atlas.pipeline import advance, decide
from atlas.policy import Arm, Policy, Spending
from atlas.spending import Tries, Try, repair_is_better, tries, value
from atlas.state import TaskState

ARM = Arm(right=1, wrong=3, tokens=100)
arms = st.builds(Arm, right=st.floats(0.1, 50), wrong=st.floats(0.1, 50), tokens=st.floats(1, 1e4))


NONE = Tries((), ())


def failed(*tokens: int) -> list[Try]:
    return [Try(False, n) for n in tokens]


def test_chance_over_cost() -> None:
    assert value(ARM, []) == pytest.approx(0.25 / 100)
    assert value(ARM, failed(100)) == pytest.approx(0.2 / 100)
    assert value(ARM, failed(300)) == pytest.approx(0.2 / 200), "the prior's tokens count as one try"


@given(arms, st.lists(st.integers(0, 5000), max_size=8))
def test_a_try_that_cost_the_average_and_failed_makes_an_arm_worth_less(arm: Arm, tokens: list[int]) -> None:
    tries = failed(*tokens)
    average = (arm.tokens + sum(tokens)) / (1 + len(tokens))
    assert value(arm, [*tries, *failed(int(average) + 1)]) < value(arm, tries)


@given(arms, arms)
def test_the_better_arm_comes_next_and_a_tie_draws_a_sample(sample: Arm, repair: Arm) -> None:
    better = repair_is_better(Spending(sample=sample, repair=repair), NONE)
    assert better == (value(repair, []) > value(sample, []))
    assert not repair_is_better(Spending(sample=sample, repair=sample), NONE)


def generated(state: TaskState, command: str, name: str, tokens: int) -> TaskState:
    candidate = Candidate(
        id=name,
        origin="repair" if name.startswith("r") else "sample",
        code=f"# {name}",
        sampling=SAMPLING,
        usage=Usage(tokens_out=tokens),
    )
    state = advance(state, [CandidateGenerated(command=command, candidate=candidate)]).state
    wrong = (TestResult(verdict=Verdict.WRONG_ANSWER),) * 2
    ran = Execution(results=wrong, isolation="fake", seconds=0.0)
    event = ExecutionFinished(command=f"execute:{name}", candidate=name, execution=ran)
    return advance(state, [event]).state


def course(spending: Spending | None) -> list[str]:
    """What is done, one after another, where a sample costs 100 tokens, a repair 200, and all fail."""
    policy = Policy(name="p", k=3, repairs=3, spending=spending)
    state, order = advance(TaskState(), [submission(policy)]).state, []
    while True:
        (command,) = decide(state)
        order.append(command.id)
        if command.id == "select":
            return order
        kind, index = command.id.split(":")
        repairing = kind == "repair"
        state = generated(state, command.id, f"{'r' if repairing else 'c'}{index}", 200 if repairing else 100)


def test_samples_come_first_without_a_rule_and_the_better_with_one() -> None:
    samples, repairs = [f"generate:{i}" for i in range(3)], [f"repair:{i}" for i in range(3)]
    assert course(None) == [*samples, *repairs, "select"]
    hopeful = Spending(sample=ARM, repair=Arm(right=30, wrong=10, tokens=200))
    assert course(hopeful) == [samples[0], *repairs, *samples[1:], "select"], (
        "something must have failed first"
    )
    hopeless = Spending(sample=ARM, repair=Arm(right=1, wrong=100, tokens=200))
    assert course(hopeless) == [*samples, *repairs, "select"], "what is left is still spent"
    even = Spending(sample=Arm(right=1, wrong=1, tokens=100), repair=Arm(right=2, wrong=1, tokens=200))
    assert course(even) == [*samples[:2], "repair:0", samples[2], *repairs[1:], "select"], "ties draw samples"


def test_a_repair_costs_every_call_of_its_command_and_counts_where_nothing_came_of_it() -> None:
    state = advance(TaskState(), [submission(Policy(name="p", k=1, repairs=2))]).state
    state = generated(state, "generate:0", "c0", 100)
    calls = [model_call("repair:0", name) for name in ("analysis", "code")]
    state = advance(state, calls).state
    assert tries(state).repairs == (), "not answered yet"
    state = generated(state, "repair:0", "r0", 5)
    state = advance(state, [model_call("repair:1", "analysis")]).state
    state = advance(state, [CommandFailed(command="repair:1", reason="bad_output")]).state
    done = tries(state)
    assert done.samples == (Try(False, 100),)
    assert done.repairs == (Try(False, 2 * USAGE.tokens_out), Try(False, USAGE.tokens_out))
