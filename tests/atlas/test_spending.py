"""The spending rule: chance per token, smaller with every failed try, dearer with every long one."""

from __future__ import annotations

from typing import Any

import pytest
from brain_steps import begin, ids
from histories import SAMPLING, USAGE, answer, model_call, plainest, submission
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atlas.commands import Generate, MakePlans, Repair
from atlas.contracts import Candidate, Execution, Plan, TestResult, Usage, Verdict
from atlas.events import (
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    CommandFailed,
    ExecutionFinished,
    PlanMade,
)
from atlas.evidence import Stop
from atlas.pipeline import advance, decide, stop
from atlas.policy import Arm, Part, Policy, Spending
from atlas.spending import ARMS, TYPICAL, Tries, Try, best, hardness, tries, value
from atlas.state import TaskState

ARM = Arm(right=1, wrong=3, tokens=100)
arms = st.builds(Arm, right=st.floats(0.1, 50), wrong=st.floats(0.1, 50), tokens=st.floats(1, 1e4))


NONE: Tries = dict.fromkeys(ARMS, ())


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


@given(arms, arms, arms)
def test_the_better_arm_comes_next_and_a_tie_draws_a_sample(sample: Arm, repair: Arm, plan: Arm) -> None:
    spending = Spending(sample=sample, repair=repair, plan=plan)
    worth = {"sample": value(sample, []), "repair": value(repair, []), "plan": value(plan, [])}
    assert worth[str(best(spending, NONE, ARMS))] == max(worth.values())
    assert best(spending, NONE, ("repair",)) == "repair"
    assert best(spending, NONE, ()) is None
    alike = Spending(sample=sample, repair=sample, plan=sample)
    assert best(alike, NONE, ("repair", "plan", "sample")) == "sample"


def test_without_a_prior_of_brute_force_its_tries_are_repairs() -> None:
    spending = Spending(sample=ARM, repair=Arm(right=2, wrong=3, tokens=100))
    after: Tries = {**NONE, "brute_force": tuple(failed(100, 100, 100))}
    assert best(spending, NONE, ARMS) == "repair"
    assert best(spending, after, ARMS) == "sample"
    weighed = spending.model_copy(update={"brute_force": ARM})
    assert best(weighed, after, ARMS) == "repair"
    assert best(weighed, NONE, ("brute_force",)) == "brute_force"


def test_without_a_prior_of_plans_their_tries_are_samples() -> None:
    spending = Spending(sample=ARM, repair=ARM)
    after: Tries = {**NONE, "plan": tuple(failed(100))}
    assert best(spending, after, ARMS) == "repair"
    assert best(spending, {**after, "repair": tuple(failed(100))}, ARMS) == "sample"


@given(arms, st.integers(0, 9), st.floats(0, 9))
def test_failures_elsewhere_make_an_arm_worth_less(arm: Arm, n: int, elsewhere: float) -> None:
    tries = failed(*[10] * n)
    assert value(arm, tries, elsewhere + 1) < value(arm, tries, elsewhere) <= value(arm, tries)


def test_what_fails_counts_in_part_against_the_others() -> None:
    """The sample's failures make the repair worth less, too: then samples stay the better ones for longer."""
    spending = Spending(sample=Arm(right=1, wrong=3, tokens=100), repair=Arm(right=1, wrong=5, tokens=100))
    four: Tries = {**NONE, "sample": tuple(failed(100, 100, 100, 100))}
    assert best(spending, four, ARMS) == "repair"
    assert best(spending.model_copy(update={"shared": 1.0}), four, ARMS) == "sample"


@given(arms, st.floats(0, 4), st.integers(1, 5000), st.integers(1, 5000))
def test_a_longer_statement_makes_every_way_worth_less(arm: Arm, power: float, one: int, other: int) -> None:
    worth = [value(arm, [], harder=hardness(power, each)) for each in sorted((one, other))]
    assert worth[0] >= worth[1]
    assert value(arm, [], harder=hardness(power, TYPICAL)) == value(arm, [])


def test_what_is_worth_less_than_its_price_is_left() -> None:
    spending = Spending(sample=ARM, repair=Arm(right=1, wrong=1, tokens=100))
    assert best(spending, NONE, ARMS, price=0.004) == "repair"
    assert best(spending, NONE, ("sample",), price=0.004) is None
    assert best(spending, NONE, ARMS, harder=3, price=0.004) is None


def generated(state: TaskState, command: str, name: str, tokens: int, plan: int | None = None) -> TaskState:
    candidate = Candidate(
        id=name,
        origin="repair" if name.startswith("r") else "sample" if plan is None else "plan",
        plan=plan,
        code=f"# {name}",
        sampling=SAMPLING,
        usage=Usage(tokens_out=tokens),
    )
    state = advance(state, [CandidateGenerated(command=command, candidate=candidate)]).state
    wrong = (TestResult(verdict=Verdict.WRONG_ANSWER),) * 2
    ran = Execution(results=wrong, isolation="fake", seconds=0.0)
    event = ExecutionFinished(command=f"execute:{name}", candidate=name, execution=ran)
    return advance(state, [event]).state


def course(spending: Spending | None, **more: Any) -> list[str]:
    """What is done, one after another, where a sample costs 100 tokens, a repair 200, and all fail."""
    policy = Policy(name="p", repairs=3, spending=spending, **({"k": 3} | more))
    state, order = advance(TaskState(), [submission(policy)]).state, []
    while True:
        (command,) = decide(state)
        if command.id == "select":
            return [*order, "select"]
        if isinstance(command, MakePlans):
            order.append("plans")
            plans = tuple(Plan(algorithm=f"way {n}") for n in range(command.n))
            calls = [model_call("plans", "constraints")]
            state = advance(state, [*calls, PlanMade(command="plans", plans=plans)]).state
            continue
        planned = command.plan if isinstance(command, Generate) else None
        order.append(command.id if planned is None else f"{command.id} by plan {planned}")
        index = command.id.partition(":")[2]
        repairing = isinstance(command, Repair)
        name, tokens = (f"r{index}", 200) if repairing else (f"c{index}", 100)
        state = generated(state, command.id, name, tokens, planned)


def test_plans_are_made_when_they_are_worth_more_and_followed_at_once() -> None:
    def priors(plan: float) -> Spending:
        arm = Arm(right=plan, wrong=1, tokens=100)
        repair = Arm(right=0.1, wrong=10, tokens=200)
        return Spending(sample=Arm(right=1, wrong=1, tokens=100), repair=repair, plan=arm)

    repairs = ["repair:0", "repair:1", "repair:2"]
    by_plan = [f"generate:{n} by plan {n}" for n in range(2)]
    assert course(priors(5), k=4, plans=2) == [
        "plans",
        *by_plan,
        "generate:2",
        "generate:3",
        *repairs,
        "select",
    ]
    later = ["generate:0", "plans", "generate:1 by plan 0", "generate:2 by plan 1", "generate:3"]
    assert course(priors(0.6), k=4, plans=2) == [*later, *repairs, "select"]
    assert course(priors(0.6), k=4, plans=2, probe=True, perturbations=1) == [*later, *repairs, "select"]
    never = [f"generate:{n}" for n in range(4)]
    assert course(priors(0.1), k=4, plans=2) == [*never, *repairs, "select"], (
        "k is k, whatever is left undone"
    )
    first = course(priors(0.1).model_copy(update={"plan": None}), k=4, plans=2)
    assert first[:3] == ["plans", *by_plan], "without a prior of theirs plans come first"


def priced(price: float, **more: Any) -> Spending:
    arm = Arm(right=1, wrong=1, tokens=100)
    return Spending(sample=arm, repair=arm, plan=arm, shared=1, price=price, **more)


def test_a_task_ends_where_nothing_is_worth_its_price() -> None:
    samples = [f"generate:{i}" for i in range(4)]
    assert course(priced(0), k=4)[:4] == samples
    assert course(priced(0.0025), k=4) == [*samples[:3], "select"], "chances 1/2, 1/3, 1/4 for 100 tokens"
    assert course(priced(0.0035), k=4) == [samples[0], "select"]
    easy = priced(0.0035, length=1)
    assert course(easy, k=4) == [*samples[:2], "select"], "a statement of 16 characters is an easy one"
    assert course(priced(1), k=4) == [samples[0], "select"], "a first program there always is"


def test_a_model_has_its_own_priors_where_there_are_some() -> None:
    dear, free = priced(1), priced(0)
    assert course(dear) != course(free)
    assert course(dear, spending_of={"another": free}) == course(dear)
    assert course(dear, spending_of={"fake": free}) == course(free)
    assert course(free, spending_of={"fake": dear}) == course(dear)


def test_priors_of_some_models_need_those_of_all_others() -> None:
    with pytest.raises(ValidationError, match="'spending_of' needs 'spending'"):
        Policy(name="p", spending_of={"m": Spending(sample=ARM, repair=ARM)})


def test_a_price_is_no_reason_to_hand_in_nothing() -> None:
    state = begin(submission(Policy(name="p", k=3, spending=priced(1))))
    state = advance(state, [CommandFailed(command="generate:0", reason="bad_output")]).state
    assert ids(state) == {"generate:1"}
    state = generated(state, "generate:1", "c1", 100)
    assert ids(state) == {"select"}
    assert stop(state) == Stop(rule="price", votes=0, of=1)


def test_spent_to_the_end_is_no_stop() -> None:
    state = generated(begin(submission(Policy(name="p", k=1, spending=priced(1)))), "generate:0", "c0", 100)
    assert ids(state) == {"select"}
    assert stop(state) is None


@pytest.mark.parametrize(
    ("more", "weights", "drawn"),
    [
        ({}, None, 1),
        ({"execute": False}, None, 1),
        ({"extras": (Part.LENS,)}, None, 1),
        ({"extras": (Part.LENS,)}, "w", 3),
        ({"inputs": 2}, None, 3),
        ({"spending": None}, None, 1),
        ({"probe": False}, None, 1),
        ({"spending": None, "probe": False}, None, 3),
    ],
)
def test_without_examples_more_is_drawn_only_where_something_tells_programs_apart(
    more: dict[str, Any], weights: str | None, drawn: int
) -> None:
    spending = Spending(sample=ARM, repair=ARM, plan=ARM)
    policy = Policy(name="p", **({"k": 3, "plans": 1, "probe": True, "spending": spending} | more))
    state = begin(submission(policy, examples=0, weights=weights))
    while not state.closed:
        command = min(decide(state), key=lambda c: c.id)
        state = advance(state, answer(state, command, plainest)).state
    assert len(state.candidates) == drawn
    assert state.done("plans") == (drawn > 1)


def test_an_answer_without_a_program_is_not_the_first_program() -> None:
    policy = Policy(name="p", k=3, spending=Spending(sample=ARM, repair=ARM))
    state = begin(submission(policy, examples=0))
    state = advance(state, [CommandFailed(command="generate:0", reason="bad_output")]).state
    assert "select" not in ids(state)


def test_a_planned_try_costs_its_part_of_the_planning() -> None:
    state = advance(TaskState(), [submission(Policy(name="p", k=3, plans=2))]).state
    plans = (Plan(algorithm="a"), Plan(algorithm="b"))
    state = advance(state, [model_call("plans", "constraints"), model_call("plans", "plan:0")]).state
    state = advance(state, [PlanMade(command="plans", plans=plans)]).state
    state = generated(state, "generate:0", "c0", 100, plan=0)
    assert tries(state)["plan"] == (Try(False, 100 + USAGE.tokens_out),)
    assert tries(state)["sample"] == ()


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
    assert tries(state)["repair"] == (), "not answered yet"
    state = generated(state, "repair:0", "r0", 5)
    state = advance(state, [model_call("repair:1", "analysis")]).state
    state = advance(state, [CommandFailed(command="repair:1", reason="bad_output")]).state
    done = tries(state)
    assert done["sample"] == (Try(False, 100),)
    assert done["repair"] == (Try(False, 2 * USAGE.tokens_out), Try(False, USAGE.tokens_out))


@pytest.mark.parametrize("passes", [True, False])
def test_a_brute_force_program_is_a_try_once_it_was_checked(passes: bool) -> None:
    policy = Policy(name="p", k=1, repairs=1, self_tests=2, brute_forces=2)
    state = generated(begin(submission(policy)), "generate:0", "c0", 100)
    assert ids(state) == {"brute_force:0"}
    state = advance(state, [model_call("brute_force:0")]).state
    written = BruteForceWritten(command="brute_force:0", program="b0", code="# slow")
    state = advance(state, [written]).state
    assert tries(state)["brute_force"] == (), "what becomes of it is not known yet"
    verdict = Verdict.ACCEPTED if passes else Verdict.WRONG_ANSWER
    ran = Execution(results=(TestResult(verdict=verdict),) * 2, isolation="fake", seconds=0.0)
    state = advance(state, [BruteForceChecked(command="check:b0", program="b0", execution=ran)]).state
    assert tries(state)["brute_force"] == (Try(passes, USAGE.tokens_out),)
    state = advance(state, [model_call("brute_force:1")]).state
    state = advance(state, [CommandFailed(command="brute_force:1", reason="bad_output")]).state
    assert tries(state)["brute_force"][1:] == (Try(False, USAGE.tokens_out),), "no program came of it"
    assert [each.name for each in tries(state)["brute_force"]] == ["b0", "b1"]
    assert tries(state)["sample"] == (Try(False, 100),)


FORCING = Spending(
    sample=Arm(right=1, wrong=1, tokens=100),
    brute_force=Arm(right=0.8, wrong=1, tokens=100),
    repair=Arm(right=0.1, wrong=10, tokens=200),
)


def forced(state: TaskState, index: int, *, passes: bool) -> TaskState:
    """A brute-force program for 5 tokens, written and checked."""
    name = f"b{index}"
    state = advance(state, [model_call(f"brute_force:{index}")]).state
    written = BruteForceWritten(command=f"brute_force:{index}", program=name, code=f"# slow {index}")
    state = advance(state, [written]).state
    assert ids(state) == {f"check:{name}"}
    verdict = Verdict.ACCEPTED if passes else Verdict.WRONG_ANSWER
    ran = Execution(results=(TestResult(verdict=verdict),) * 2, isolation="fake", seconds=0.0)
    return advance(state, [BruteForceChecked(command=f"check:{name}", program=name, execution=ran)]).state


def test_brute_force_comes_when_it_is_worth_most_and_what_passes_is_entered_at_once() -> None:
    policy = Policy(name="p", k=3, repairs=1, brute_forces=2, self_tests=2, spending=FORCING)
    state = begin(submission(policy))
    assert ids(state) == {"generate:0"}
    state = generated(state, "generate:0", "c0", 100)
    assert ids(state) == {"brute_force:0"}, "0.8 of 1.8 for 1 of 3"
    dear = forced(state, 0, passes=False)
    assert ids(dear) == {"brute_force:1"}, "it was cheap: 0.8 of 2.8 for 52 tokens"
    dear = forced(dear, 1, passes=False)
    assert ids(dear) == {"generate:1"}, "no more of them than the policy asks for"
    state = forced(state, 0, passes=True)
    assert ids(state) == {"enter:b0"}
    slow = Candidate(id="b0", origin="brute_force", code="# slow 0", sampling=SAMPLING, usage=USAGE)
    state = advance(state, [CandidateGenerated(command="enter:b0", candidate=slow)]).state
    assert ids(state) == {"execute:b0"}
    right = Execution(results=(TestResult(verdict=Verdict.ACCEPTED),) * 2, isolation="fake", seconds=0.0)
    state = advance(state, [ExecutionFinished(command="execute:b0", candidate="b0", execution=right)]).state
    assert ids(state) == {"select"}
    assert tries(state)["sample"] == (Try(False, 100),), "what is entered is no sample"


def test_repairs_do_not_ask_for_brute_force_that_is_weighed() -> None:
    """Its programs were not worth their tokens: self-tests take what passing ones there are."""
    hopeless = FORCING.model_copy(update={"brute_force": Arm(right=0.001, wrong=1000, tokens=100)})
    policy = Policy(name="p", k=1, repairs=1, brute_forces=2, self_tests=2, spending=hopeless)
    state = generated(begin(submission(policy)), "generate:0", "c0", 100)
    assert ids(state) == {"repair:0"}
    state = generated(state, "repair:0", "r0", 100)
    assert ids(state) == {"brute_force:0"}, "what is left is still spent"


@pytest.mark.parametrize("more", [{"brute_forces": 0}, {"execute": False}, {"stop_after_passing": 0}])
def test_brute_force_is_for_tasks_on_which_something_has_failed(more: dict[str, Any]) -> None:
    policy = Policy(name="p", k=2, spending=FORCING, **({"brute_forces": 2} | more))
    state = begin(submission(policy))
    while not state.closed:
        command = min(decide(state), key=lambda c: c.id)
        state = advance(state, answer(state, command, plainest)).state
    assert not state.brute_forces
