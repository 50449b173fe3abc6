"""The brain alone: whatever the services answer, in whatever order, a task ends as its policy says."""

from __future__ import annotations

import pytest
from brain_steps import OK, WRONG, begin, executed, generated, ids, ran
from histories import SAMPLING, USAGE, answer, model_call, picking, submission, submissions
from hypothesis import given
from hypothesis import strategies as st

from atlas.budget import LEAST_TOKENS, tokens_left
from atlas.commands import Execute, Generate, MakePlans, Refine, Repair, Select
from atlas.contracts import (
    PERSPECTIVES,
    PERTURBATIONS,
    Candidate,
    Execution,
    Plan,
    TestResult,
)
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CommandFailed,
    CommandsIssued,
    CommandsRevoked,
    DeadlineReached,
    ExecutionFinished,
    PlanMade,
    TaskCancelled,
    TaskDecided,
    TaskFailed,
    TaskSubmitted,
)
from atlas.pipeline import advance, decide, survivors
from atlas.policy import FULL, A, Policy
from atlas.state import InvalidHistory, TaskState, apply


@given(submissions(), st.data())
def test_every_task_ends_whatever_the_services_answer(submitted: TaskSubmitted, data: st.DataObject) -> None:
    state = begin(submitted)
    policy = submitted.policy
    for _ in range(200):
        if state.closed:
            break
        wanted = sorted(decide(state), key=lambda c: c.id)
        assert {c.id for c in wanted} == state.open, "what is open is exactly what is wanted"
        events: list[AnyEvent]
        if not state.deadline_reached and data.draw(st.integers(0, 40)) == 0:
            events = [DeadlineReached()]
        else:
            events = answer(state, data.draw(st.sampled_from(wanted)), picking(data))
        state = advance(state, events).state
    assert state.closed is not None
    last_resort = sum(candidate.origin == "brute_force" for candidate in state.candidates.values())
    assert last_resort <= min(1, policy.brute_forces)
    assert len(state.candidates) - last_resort <= policy.k + policy.repairs + policy.refinements
    if policy.stop_after_passing and policy.execute and submitted.problem.examples:
        assert len(survivors(state)) <= policy.stop_after_passing
    if isinstance(state.closed, TaskDecided):
        assert state.candidates[state.closed.candidate].code is not None
    assert not state.open


@given(submissions(), st.data())
def test_deciding_again_changes_nothing(submitted: TaskSubmitted, data: st.DataObject) -> None:
    """Every appender decides; the second to look must find nothing left to issue or to revoke."""
    state = begin(submitted)
    while not state.closed:
        again = advance(state, [])
        assert again.events == ()
        command = data.draw(st.sampled_from(sorted(decide(state), key=lambda c: c.id)))
        state = advance(state, answer(state, command, picking(data))).state


def test_policy_a_draws_one_sample_and_decides() -> None:
    state = begin(submission(A))
    assert decide(state) == {Generate(id="generate:0", first=0)}
    state = generated(state, 0)
    assert decide(state) == {Select(id="select")}


def test_the_default_draws_the_baselines_sample_then_others_until_one_passes() -> None:
    state = begin(submission(FULL))
    for index in range(FULL.k):
        assert decide(state) == {Generate(id=f"generate:{index}", first=index, greedy=index == 0)}
        state = executed(generated(state, index), index, WRONG if index < 7 else OK, OK)
    assert decide(state) == {Select(id="select")}


PLANNING = Policy(name="p", k=3, plans=2)


def test_plans_come_first_then_a_candidate_to_each_then_samples() -> None:
    state = begin(submission(PLANNING))
    assert decide(state) == {MakePlans(id="plans", n=2)}
    state = advance(
        state, [PlanMade(command="plans", plans=(Plan(algorithm="a"), Plan(algorithm="b")))]
    ).state
    for index, plan in [(0, 0), (1, 1), (2, None)]:
        assert decide(state) == {Generate(id=f"generate:{index}", first=index, plan=plan)}
        state = executed(generated(state, index), index, OK, WRONG)


PROBING = Policy(name="p", k=4, probe=True, plans=1, perturbations=2)


def test_the_baselines_candidate_comes_first_and_plans_only_once_it_has_failed() -> None:
    state = begin(submission(PROBING))
    assert decide(state) == {Generate(id="generate:0", first=0, greedy=True)}
    state = generated(state, 0)
    assert ids(state) == {"execute:c0"}
    assert ids(executed(state, 0, OK, OK)) == {"select"}
    assert decide(executed(state, 0, OK, WRONG)) == {MakePlans(id="plans", n=1)}


def test_perturbations_fill_what_plans_leave_and_none_comes_twice() -> None:
    for made, kinds in ((1, [0, "competitor", "step_by_step"]), (0, ["competitor", "step_by_step", None])):
        state = executed(generated(begin(submission(PROBING)), 0), 0, OK, WRONG)
        plans = tuple(Plan(algorithm="a") for _ in range(made))
        state = advance(state, [PlanMade(command="plans", plans=plans)]).state
        drawn: list[object] = []
        for index in range(1, 4):
            (command,) = decide(state)
            assert isinstance(command, Generate)
            assert not command.greedy
            drawn.append(command.perturbation if command.plan is None else command.plan)
            state = executed(generated(state, index), index, WRONG, WRONG)
        assert drawn == kinds


@given(st.integers(0, 1000))
def test_no_perturbation_is_repeated_within_a_task_whatever_the_seed(seed: int) -> None:
    policy = Policy(name="p", k=14, perturbations=12, stop_after_passing=0, execute=False, seed=seed)
    state, ways = begin(submission(policy)), []
    for index in range(12):
        (command,) = decide(state)
        assert isinstance(command, Generate)
        ways.append(command.perturbation)
        state = generated(state, index)
    assert sorted(map(str, ways)) == sorted(PERTURBATIONS)
    assert decide(state) == {Generate(id="generate:12", first=12, n=2)}


def test_failed_plans_fall_back_to_plain_samples() -> None:
    state = begin(submission(PLANNING))
    state = advance(state, [CommandFailed(command="plans", reason="bad_output")]).state
    assert decide(state) == {Generate(id="generate:0", first=0, plan=None)}


def test_the_first_program_that_passes_the_examples_stops_generation() -> None:
    state = generated(begin(submission(Policy(name="p", k=4))), 0)
    assert ids(state) == {"execute:c0"}, "a sample that may prove needless waits"
    assert ids(executed(state, 0, OK, OK)) == {"select"}
    assert ids(executed(state, 0, OK, WRONG)) == {"generate:1"}


def test_identical_prompts_are_drawn_in_one_call_where_nothing_stops_early() -> None:
    state = begin(submission(Policy(name="p", k=4, plans=1, stop_after_passing=0)))
    state = advance(state, [PlanMade(command="plans", plans=(Plan(algorithm="a"),))]).state
    assert decide(state) == {Generate(id="generate:0", first=0, n=1, plan=0)}
    state = generated(state, 0)
    assert decide(state) == {
        Generate(id="generate:1", first=1, n=3),
        Execute(id="execute:c0", candidate="c0"),
    }


@pytest.mark.parametrize(("budget", "together"), [(0, 4), (325, 1), (1024, 2), (8192, 4)])
def test_a_call_draws_no_more_samples_than_its_budget_has_whole_programs(budget: int, together: int) -> None:
    policy = Policy(name="p", k=9, stop_after_passing=0, token_budget=budget, max_tokens=512)
    assert decide(begin(submission(policy))) == {Generate(id="generate:0", first=0, n=together)}


def test_repair_comes_when_everything_drawn_has_failed_and_mends_the_nearest() -> None:
    state = begin(submission(Policy(name="p", k=2, repairs=2)))
    state = executed(generated(state, 0), 0, WRONG, WRONG)
    state = executed(generated(state, 1), 1, OK, WRONG)
    assert decide(state) == {
        Repair(id="repair:0", index=0, candidate="c1", perspective="logical_consistency")
    }
    mended = Candidate(id="r0", origin="repair", code="print(2)", sampling=SAMPLING, usage=USAGE)
    state = advance(state, [CandidateGenerated(command="repair:0", candidate=mended)]).state
    assert ids(state) == {"execute:r0"}
    for verdict, then in [(OK, {"select"}), (WRONG, {"repair:1"})]:
        execution = Execution(
            results=(TestResult(verdict=OK), TestResult(verdict=verdict)), isolation="fake", seconds=0.0
        )
        event = ExecutionFinished(command="execute:r0", candidate="r0", execution=execution)
        assert ids(advance(state, [event]).state) == then


def test_repairs_go_through_all_four_perspectives_each_executed_before_the_next() -> None:
    state = executed(generated(begin(submission(Policy(name="p", k=1, repairs=5))), 0), 0, WRONG, WRONG)
    seen = []
    for index in range(5):
        (command,) = decide(state)
        assert isinstance(command, Repair)
        seen.append(command.perspective)
        if index == 3:  # an answer that is no proposal does not stop the next
            failed = CommandFailed(command=command.id, reason="bad_output")
            state = advance(state, [failed]).state
            continue
        code = f"print({index})"
        drawn = Candidate(id=f"r{index}", origin="repair", code=code, sampling=SAMPLING, usage=USAGE)
        state = advance(state, [CandidateGenerated(command=command.id, candidate=drawn)]).state
        assert ids(state) == {f"execute:r{index}"}
        state = ran(state, f"r{index}", WRONG, WRONG)
    assert seen == [*PERSPECTIVES, PERSPECTIVES[0]]
    assert ids(state) == {"select"}


def test_refinements_follow_repairs_and_see_the_three_nearest_failures_newest_first() -> None:
    policy = Policy(name="p", k=2, repairs=1, refinements=2, stop_after_passing=1)
    state = begin(submission(policy))
    for index in range(2):
        state = executed(generated(state, index, f"print({index})"), index, WRONG, WRONG)
    state = ran(repaired(state, "repair:0", "r0"), "r0", OK, WRONG)
    assert decide(state) == {Refine(id="refine:0", index=0, candidates=("r0", "c1", "c0"))}
    state = ran(repaired(state, "refine:0", "f0"), "f0", WRONG, WRONG)
    assert decide(state) == {Refine(id="refine:1", index=1, candidates=("r0", "f0", "c1"))}
    assert ids(ran(repaired(state, "refine:1", "f1"), "f1", OK, OK)) == {"select"}


def test_refinements_end_at_their_seconds() -> None:
    policy = Policy(name="p", k=1, refinements=5, refinement_seconds=60)
    state = executed(generated(begin(submission(policy)), 0), 0, WRONG, WRONG)
    for seconds, more in ((59.0, {"refine:1"}), (1.0, {"select"})):
        (command,) = decide(state)
        call = model_call(command.id).model_copy(update={"server_s": seconds})
        state = advance(state, [call]).state
        assert command.id in ids(state), "what is under way is finished"
        failed = CommandFailed(command=command.id, reason="bad_output", detail="no program")
        state = advance(state, [failed]).state
        assert ids(state) == more


def repaired(state: TaskState, command: str, name: str) -> TaskState:
    candidate = Candidate(id=name, origin="repair", code=f"# {name}", sampling=SAMPLING, usage=USAGE)
    return advance(state, [CandidateGenerated(command=command, candidate=candidate)]).state


def test_a_repair_that_passes_more_is_what_is_mended_next() -> None:
    state = executed(generated(begin(submission(Policy(name="p", k=1, repairs=2))), 0), 0, WRONG, WRONG)
    drawn = Candidate(id="r0", origin="repair", code="print(7)", sampling=SAMPLING, usage=USAGE)
    state = advance(state, [CandidateGenerated(command="repair:0", candidate=drawn)]).state
    (command,) = decide(ran(state, "r0", OK, WRONG))
    assert isinstance(command, Repair)
    assert command.candidate == "r0"


def spent(state: TaskState, command: str, tokens: int) -> TaskState:
    """The state after a recorded call of that many generated tokens."""
    call = model_call(command)
    choice = call.choices[0].model_copy(update={"usage": USAGE.model_copy(update={"tokens_out": tokens})})
    return advance(state, [call.model_copy(update={"choices": (choice,)})]).state


def test_what_the_budget_cannot_pay_for_is_not_begun_but_what_is_under_way_is_finished() -> None:
    policy = Policy(name="p", k=9, repairs=4, token_budget=300)
    state = begin(submission(policy))
    assert tokens_left(state) == 300
    state = spent(state, "generate:0", 280)
    assert tokens_left(state) == 20
    assert ids(state) == {"generate:0"}, "its call is paid for and recorded"
    assert ids(executed(generated(state, 0), 0, WRONG, WRONG)) == {"select"}
    assert tokens_left(begin(submission(A))) is None


def test_repair_needs_tokens_for_both_of_its_calls() -> None:
    policy = Policy(name="p", k=1, repairs=4, token_budget=300)
    for cost, then in [(300 - 2 * LEAST_TOKENS, {"repair:0"}), (301 - 2 * LEAST_TOKENS, {"select"})]:
        state = spent(begin(submission(policy)), "generate:0", cost)
        assert ids(executed(generated(state, 0), 0, WRONG, WRONG)) == then


def test_a_budget_too_small_for_anything_fails_the_task_by_its_own_fault() -> None:
    closed = begin(submission(Policy(name="p", k=1, token_budget=LEAST_TOKENS - 1))).closed
    assert isinstance(closed, TaskFailed)
    assert not closed.infrastructure
    assert "token budget" in closed.reason


def test_what_has_been_drawn_survives_the_deadline_in_a_long_series() -> None:
    state = begin(submission(Policy(name="p", k=9, stop_after_passing=0)))
    drawn = [
        Candidate(id=f"c{i}", origin="sample", code="x", sampling=SAMPLING, usage=USAGE) for i in range(4)
    ]
    state = advance(state, [CandidateGenerated(command="generate:0", candidate=c) for c in drawn]).state
    assert ids(state) == {"generate:4", *(f"execute:c{i}" for i in range(4))}
    state = advance(state, [DeadlineReached()]).state
    assert ids(state) == {"select"}


def test_the_deadline_revokes_what_is_open_and_takes_the_best_so_far() -> None:
    state = executed(generated(begin(submission(Policy(name="p", k=4))), 0), 0, WRONG, OK)
    step = advance(state, [DeadlineReached()])
    assert step.revoked == ("generate:1",)
    assert [c.id for c in step.commands] == ["select"]
    assert [type(e) for e in step.events] == [DeadlineReached, CommandsRevoked, CommandsIssued]


def test_the_deadline_without_a_program_fails_the_task() -> None:
    step = advance(begin(submission(A)), [DeadlineReached()])
    assert isinstance(step.state.closed, TaskFailed)
    assert not step.state.closed.infrastructure


def test_a_deadline_that_passed_while_nobody_was_there_is_no_failure_of_the_model() -> None:
    state = advance(begin(submission(A)), [DeadlineReached(overdue_s=600)]).state
    assert isinstance(state.closed, TaskFailed)
    assert state.closed.infrastructure
    assert "down" in state.closed.reason
    assert state.deadline_missed
    assert not advance(begin(submission(A)), [DeadlineReached(overdue_s=1.5)]).state.deadline_missed


@pytest.mark.parametrize(("reason", "infrastructure"), [("bad_output", False), ("poisoned", True)])
def test_no_candidate_at_all_fails_the_task_and_says_whose_fault_it_was(
    reason: str, infrastructure: bool
) -> None:
    failed = CommandFailed.model_validate({"command": "generate:0", "reason": reason, "detail": "why"})
    closed = advance(begin(submission(A)), [failed]).state.closed
    assert isinstance(closed, TaskFailed)
    assert closed.infrastructure is infrastructure


def test_cancelling_revokes_everything() -> None:
    step = advance(begin(submission(A)), [TaskCancelled()])
    assert isinstance(step.state.closed, TaskCancelled)
    assert step.revoked == ("generate:0",)
    assert decide(step.state) == frozenset()


def test_a_failed_selection_is_an_infrastructure_failure() -> None:
    state = generated(begin(submission(A)), 0)
    failed = CommandFailed(command="select", reason="handler_error", detail="bug")
    closed = advance(state, [failed]).state.closed
    assert closed == TaskFailed(reason="selection failed: bug", infrastructure=True)


def test_the_fold_refuses_impossible_histories() -> None:
    state = begin(submission(A))
    with pytest.raises(InvalidHistory, match="not open"):
        apply(state, CommandFailed(command="generate:7", reason="bad_output"))
    with pytest.raises(InvalidHistory, match="issued twice"):
        apply(state, CommandsIssued(ids=("generate:0",)))
    with pytest.raises(InvalidHistory, match="position"):
        apply(state, submission(A))
    with pytest.raises(InvalidHistory, match="position"):
        apply(TaskState(), DeadlineReached())
    closed = advance(state, [TaskCancelled()]).state
    with pytest.raises(InvalidHistory, match="after"):
        apply(closed, DeadlineReached())
    done = generated(begin(submission(Policy(name="p", k=2, execute=False))), 0)
    with pytest.raises(InvalidHistory):
        generated(done, 0)
