"""Thinking tiers: what tells that a problem is difficult, and what the brain then asks for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from histories import SAMPLING, USAGE, WEIGHED, submission
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atlas.commands import Generate
from atlas.contracts import Candidate, Energy, Execution, LogprobSummary, TestResult, Verdict
from atlas.difficulty import difficulty, tier
from atlas.events import CandidateGenerated, CandidateScored, ExecutionFinished
from atlas.pipeline import advance, decide
from atlas.policy import TIERED, TIERS, B, Part, Policy, Tier
from atlas.state import TaskState

OK, WRONG = Verdict.ACCEPTED, Verdict.WRONG_ANSWER
HALF_SURE = math.log(0.5)


def begun(*, thinks: bool = True, weights: str | None = None, **policy: Any) -> TaskState:
    values = {"name": "p", "k": 4, "thinking_tokens": 2048, "thinking_tiers": TIERS, **policy}
    submitted = submission(Policy.model_validate(values), weights=weights)
    pins = submitted.pins.model_copy(update={"thinks": thinks})
    return advance(TaskState(), [submitted.model_copy(update={"pins": pins})]).state


def drawn(state: TaskState, index: int, logprob: float | None = None, code: str | None = "#") -> TaskState:
    summary = logprob if logprob is None else LogprobSummary(mean=logprob, minimum=-9, lowest_decile=-9)
    candidate = Candidate(
        id=f"c{index}",
        origin="sample",
        code=code and f"{code}{index}",
        sampling=SAMPLING,
        usage=USAGE,
        logprob=summary,
    )
    return advance(state, [CandidateGenerated(command=f"generate:{index}", candidate=candidate)]).state


def ran(state: TaskState, index: int, *verdicts: Verdict) -> TaskState:
    results = tuple(TestResult(verdict=v) for v in verdicts)
    execution = Execution(results=results, isolation="fake", seconds=0.0)
    event = ExecutionFinished(command=f"execute:c{index}", candidate=f"c{index}", execution=execution)
    return advance(state, [event]).state


def only(state: TaskState) -> Generate:
    (command,) = decide(state)
    assert isinstance(command, Generate)
    return command


def test_before_anything_is_known_a_model_thinks_as_the_policy_says() -> None:
    first = only(begun())
    assert (first.thinking_tokens, first.difficulty) == (2048, None)


@pytest.mark.parametrize(
    ("verdicts", "logprob", "known", "tokens"),
    [
        ((WRONG, WRONG), None, 1.0, 8192),
        ((OK, WRONG), None, 0.5, 4096),
        ((OK, WRONG), HALF_SURE, 0.5, 4096),
        ((WRONG, WRONG), HALF_SURE, 0.75, 8192),
        ((OK, WRONG), -0.001, 0.25, 2048),
    ],
)
def test_the_tier_follows_the_examples_and_the_models_own_confidence(
    verdicts: tuple[Verdict, ...], logprob: float | None, known: float, tokens: int
) -> None:
    state = drawn(begun(), 0, logprob)
    assert not any(isinstance(c, Generate) for c in decide(state)), "the examples are run first"
    following = only(ran(state, 0, *verdicts))
    assert following.difficulty == pytest.approx(known, abs=1e-3)
    assert following.thinking_tokens == tokens


def test_the_examples_are_run_first_also_where_nothing_stops_the_drawing() -> None:
    state = begun(stop_after_passing=0)
    assert only(state).n == 4, "of one prompt, together: nothing can be known before"
    state = drawn(begun(stop_after_passing=0, probe=True), 0)
    assert {c.id for c in decide(state)} == {"execute:c0"}
    following = only(ran(state, 0, OK, OK))
    assert (following.difficulty, following.thinking_tokens) == (0.0, 1024)


def test_an_answer_without_a_program_fails_every_example() -> None:
    following = only(drawn(begun(), 0, code=None))
    assert (following.difficulty, following.thinking_tokens) == (1.0, 8192)


def test_all_samples_count_and_repairs_do_not() -> None:
    state = ran(drawn(begun(), 0), 0, WRONG, WRONG)
    state = ran(drawn(state, 1), 1, OK, WRONG)
    assert difficulty(state) == pytest.approx(0.75)
    mended = state.candidates["c1"].model_copy(update={"id": "r0", "origin": "repair"})
    right = state.executions["c1"].model_copy(update={"results": (TestResult(verdict=OK),) * 2})
    repaired = replace(
        state,
        candidates={**state.candidates, "r0": mended},
        executions={**state.executions, "r0": right},
    )
    assert difficulty(repaired) == pytest.approx(0.75)


def test_the_prompts_state_counts_where_a_score_tells_it_and_is_waited_for() -> None:
    state = drawn(begun(weights="w", extras=(Part.LENS,)), 0, HALF_SURE)
    assert {c.id for c in decide(state)} == {"score:c0"}
    energy = Energy(value=1.0, weights="w")
    event = CandidateScored(command="score:c0", candidate="c0", energy=energy, difficulty=0.9)
    following = only(advance(state, [event]).state)
    assert following.difficulty == pytest.approx((0.5 + 0.9) / 2)
    assert following.thinking_tokens == 4096


def test_a_score_without_it_leaves_the_other_signals() -> None:
    state = drawn(begun(weights="w", extras=(Part.LENS,)), 0, HALF_SURE)
    event = CandidateScored(command="score:c0", candidate="c0", energy=Energy(value=1.0, weights="w"))
    assert only(advance(state, [event]).state).difficulty == pytest.approx(0.5)


def test_models_that_do_not_think_and_policies_without_tiers_are_untouched() -> None:
    for state in (begun(thinks=False), begun(thinking_tiers=())):
        following = only(ran(drawn(state, 0, -0.1), 0, WRONG, WRONG))
        assert following == Generate(id="generate:1", first=1)


def test_the_baselines_candidate_has_no_tier() -> None:
    assert only(begun(probe=True)) == Generate(id="generate:0", first=0, greedy=True)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_more_difficult_the_longer(one: float, other: float) -> None:
    state = begun()
    low, high = sorted((one, other))
    assert tier(state, low) <= tier(state, high)


def test_below_the_first_tier_it_is_the_policys() -> None:
    state = begun(thinking_tiers=(Tier(above=0.5, tokens=0), Tier(above=0.9, tokens=8192)))
    assert [tier(state, known) for known in (None, 0.4, 0.5, 0.89, 0.9)] == [2048, 2048, 0, 0, 8192]


@pytest.mark.parametrize(
    "values",
    [
        {"thinking_tokens": 0},
        {"thinking_tiers": (Tier(above=0.5, tokens=1024), Tier(above=0.5, tokens=2048))},
        {"thinking_tiers": (Tier(above=0.5, tokens=1024), Tier(above=0.1, tokens=2048))},
    ],
)
def test_tiers_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="thinking_tiers"):
        Policy.model_validate(
            {"name": "p", "thinking_tokens": 2048, "thinking_tiers": TIERS, **values},
        )


def test_the_named_policy_goes_by_examples_and_confidence_also_where_the_model_has_weights() -> None:
    state = ran(
        drawn(begun(weights="w", **TIERED.model_dump(exclude_defaults=True)), 0, HALF_SURE), 0, WRONG, WRONG
    )
    assert {c.id for c in decide(state)} == {"plans"}, "nothing is scored"
    assert difficulty(state) == pytest.approx(0.75)


def test_with_the_lens_examples_are_known_in_time_only_under_a_spending_rule() -> None:
    values: dict[str, Any] = {"weights": "w", "extras": (Part.LENS,)}
    assert {c.id for c in decide(drawn(begun(**values), 0))} == {"score:c0"}, "it is run after all are drawn"
    state = drawn(begun(**values, spending=WEIGHED), 0, HALF_SURE)
    assert {c.id for c in decide(state)} == {"execute:c0"}
    state = ran(state, 0, WRONG, WRONG)
    assert {c.id for c in decide(state)} == {"score:c0"}
    event = CandidateScored(
        command="score:c0", candidate="c0", energy=Energy(value=1.0, weights="w"), difficulty=0.9
    )
    assert difficulty(advance(state, [event]).state) == pytest.approx((1 + 0.5 + 0.9) / 3)


def test_the_named_policy_is_b_with_tiers() -> None:
    assert TIERED.model_copy(update={"name": "B", "thinking_tiers": ()}) == B
