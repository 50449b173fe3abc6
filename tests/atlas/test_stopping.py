"""Adaptive k: the published rules on votes, and when they make `decide` stop drawing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from histories import SAMPLING, submission
from hypothesis import given
from hypothesis import strategies as st

from atlas.commands import AnyCommand, ClusterCandidates, Execute, Generate, MakeInputs, Probe, WriteInputs
from atlas.contracts import Candidate, LogprobSummary, Problem, TestResult, Usage, Verdict
from atlas.contracts import Execution as Ran
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    TaskDecided,
    TaskSubmitted,
)
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun, WrittenInputs
from atlas.pipeline import advance, decide, stop
from atlas.policy import BLEND_ASC, POLICIES, REASC, BlendAsc, Policy, ReAsc
from atlas.state import TaskState
from atlas.stopping import blended, evidence, leading, least_votes
from services.lens.clustering import cluster
from services.lens.selection import select

counts = st.lists(st.integers(0, 30), min_size=1, max_size=5).map(lambda c: sorted(c, reverse=True))


def test_the_beta_criterion_is_adaptive_consistencys() -> None:
    """Its closed form for unanimous votes: 1 - 2^-(n + 1)."""
    for n in range(1, 12):
        assert leading(n, 0) == pytest.approx(1 - 0.5 ** (n + 1))
    assert leading(5, 5) == pytest.approx(0.5)


def test_the_prior_posterior_ratio_is_the_density_at_one_half() -> None:
    """For unanimous votes Beta(n + 1, 1) has density (n + 1) 2^-n at 1/2; more answers make it dearer."""
    for n in range(5, 12):
        assert blended([n], 1.0) == pytest.approx(1 - (n + 1) * 0.5**n)
    assert blended([20, 1, 1, 1], 1.0) < blended([20, 1], 1.0)


@given(counts, st.floats(0, 1), st.floats(0, 1))
def test_what_is_spent_never_makes_the_rule_surer(votes: list[int], one: float, other: float) -> None:
    """So clusters that are not formed anew yet cannot end a task which they did not end when formed."""
    early, late = sorted((one, other))
    assert blended(votes, late) <= blended(votes, early) + 1e-9
    assert 0 <= blended(votes, late) <= 1


def test_fewer_votes_than_the_least_cannot_stop() -> None:
    rule = BlendAsc()
    least = least_votes(rule, 64)
    assert least == 4
    assert all(blended([n], n / 64) < rule.confidence for n in range(1, least))
    assert least_votes(ReAsc(), 64) == 1


def sample(name: str, decile: float | None, code: str = "x") -> Candidate:
    known = None if decile is None else LogprobSummary(mean=decile / 2, minimum=decile, lowest_decile=decile)
    return Candidate(id=name, origin="sample", code=code, sampling=SAMPLING, usage=Usage(), logprob=known)


def test_a_vote_weighs_what_its_confidence_is_worth_and_an_average_one_weighs_one() -> None:
    sure, unsure, unknown = sample("c0", -0.1), sample("c1", -2.0), sample("c2", None)
    weights = evidence([[sure], [unsure]])
    assert weights[0] > 1 > weights[1]
    assert sum(weights) == pytest.approx(2)
    assert evidence([[unknown, unknown]]) == [2]


# ---------------------------------------------------------------- through `decide`


class Told:
    """Answers commands by what each program gives: `outputs` by number, absent: fails the example."""

    def __init__(self, outputs: Mapping[int, str], decile: float | None = -1.0) -> None:
        self.outputs, self.decile = outputs, decile

    def __call__(self, state: TaskState, command: AnyCommand) -> list[AnyEvent]:
        if isinstance(command, Generate):
            numbers = range(command.first, command.first + command.n)
            made = [sample(f"c{i}", self.decile, self.code(state, i)) for i in numbers]
            return [CandidateGenerated(command=command.id, candidate=c) for c in made]
        if isinstance(command, Execute):
            right = int(command.candidate[1:]) in self.outputs
            verdict = Verdict.ACCEPTED if right else Verdict.WRONG_ANSWER
            ran = Ran(results=(TestResult(verdict=verdict),), tests=1, isolation="fake", seconds=0)
            return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=ran)]
        if isinstance(command, WriteInputs):
            written = WrittenInputs(texts=("1",))
            return [InputsWritten(command=command.id, round=command.round, written=written)]
        if isinstance(command, MakeInputs):
            inputs = (GeneratedInput(text="1", origin="model"),)
            return [InputsMade(command=command.id, round=command.round, inputs=inputs)]
        if isinstance(command, Probe):
            said = self.outputs[int(command.candidate[1:])]
            run = ProbedRun(status=RunStatus.OK if said else RunStatus.RUNTIME_ERROR, output=said)
            probed = CandidateProbed(
                command=command.id,
                round=command.round,
                candidate=command.candidate,
                runs=(run,),
                isolation="fake",
                seconds=0,
            )
            return [probed]
        if isinstance(command, ClusterCandidates):
            return [cluster(state, command.id)]
        return [select(state, command.id)]

    def code(self, state: TaskState, number: int) -> str:
        return f"print({number})"


def solve(told: Told, submitted: TaskSubmitted) -> TaskState:
    state = advance(TaskState(), [submitted]).state
    while not state.closed:
        command = min(decide(state), key=lambda c: c.id)
        state = advance(state, told(state, command)).state
    return state


def drawn(told: Told, policy: Policy, examples: int = 1) -> tuple[int, str | None]:
    """How many samples were drawn, and the rule that ended it."""
    state = solve(told, submission(policy, examples=examples))
    closed = state.closed
    assert isinstance(closed, TaskDecided)
    return len(state.candidates), closed.evidence.stopped.rule if closed.evidence.stopped else None


SMALL = {"k": 16, "token_budget": 0}
BLEND = BLEND_ASC.model_copy(update=SMALL)
RE = REASC.model_copy(update=SMALL)


def test_blend_asc_stops_once_enough_programs_give_the_same() -> None:
    same = dict.fromkeys(range(16), "7")
    n, rule = drawn(Told(same), BLEND)
    assert (n, rule) == (6, "blend_asc"), "6 of 16 is spent: the rule is stricter than at the very start"


def test_blend_asc_draws_on_where_programs_differ_and_says_nothing_at_the_end() -> None:
    n, rule = drawn(Told({i: str(i % 2) for i in range(16)}), BLEND)
    assert (n, rule) == (16, None)


def test_programs_that_fail_the_examples_do_not_vote() -> None:
    n, rule = drawn(Told({i: "7" for i in range(16) if i % 2}), BLEND)
    assert rule == "blend_asc"
    assert n > 9, "every other sample says nothing about the answer"
    assert drawn(Told({}), BLEND) == (16, None), "many that fail alike are no agreement"


def test_programs_that_end_nowhere_have_no_answer() -> None:
    assert drawn(Told({0: "7"} | dict.fromkeys(range(1, 16), "")), BLEND) == (16, None)


def test_without_generated_inputs_the_examples_are_the_answer() -> None:
    alone = BLEND.model_copy(update={"inputs": 0})
    assert drawn(Told(dict.fromkeys(range(16), "7")), alone) == (6, "blend_asc")
    assert drawn(Told(dict.fromkeys(range(16), "7")), alone, examples=0) == (16, None), "nothing tells"


def test_different_programs_are_compared_before_they_count_as_one_answer() -> None:
    state = advance(TaskState(), [submission(BLEND, examples=1)]).state
    told = Told({i: str(i) for i in range(16)})
    while len(state.executions) < 5:
        command = min(decide(state), key=lambda c: c.id)
        state = advance(state, told(state, command)).state
        assert stop(state) is None


def test_reasc_stops_on_one_sure_sample_that_passes() -> None:
    same = dict.fromkeys(range(16), "7")
    assert drawn(Told(same, decile=-0.2), RE) == (1, "reasc_single")
    assert drawn(Told(same, decile=-0.9), RE) == (4, "reasc")
    assert drawn(Told(same, decile=None), RE) == (4, "reasc"), "no log-probability is no confidence"
    assert drawn(Told(dict.fromkeys(range(1, 16), "7"), decile=-0.2), RE)[1] == "reasc", "the first fails"


def test_reasc_needs_fewer_votes_where_the_leaders_are_the_surer() -> None:
    class Unequal(Told):
        def __call__(self, state: TaskState, command: AnyCommand) -> list[AnyEvent]:
            events = super().__call__(state, command)
            for i, event in enumerate(events):
                if isinstance(event, CandidateGenerated):
                    right = self.outputs[int(event.candidate.id[1:])] == "7"
                    decile = self.right if right else -2.0
                    surer = sample(event.candidate.id, decile, str(event.candidate.code))
                    events[i] = event.model_copy(update={"candidate": surer})
            return events

        right = -0.6

    outputs = {i: "8" if i in (0, 3) else "7" for i in range(16)}
    surer = Unequal(outputs)
    equal = Unequal(outputs)
    equal.right = -2.0
    assert drawn(surer, RE)[0] < drawn(equal, RE)[0]


@pytest.mark.parametrize(("policy", "least"), [(BLEND, 6), (RE, 4)])
def test_letters_vote_as_in_the_papers(policy: Policy, least: int) -> None:
    class Letters(Told):
        def code(self, state: TaskState, number: int) -> str:
            return "B"

    problem = Problem(kind="choice", statement="Which?", choices=("one", "two", "three"))
    asked = submission(policy).model_copy(update={"problem": problem})
    state = solve(Letters({}), asked)
    assert len(state.candidates) == least
    assert isinstance(state.closed, TaskDecided)
    assert state.closed.evidence.stopped is not None


def test_the_named_policies_are_self_consistency_with_a_rule() -> None:
    for name in ("blend-asc", "reasc"):
        policy, base = POLICIES[name], POLICIES["self-consistency"]
        assert policy.adaptive is not None
        assert policy.model_copy(update={"name": base.name, "adaptive": None}) == base
