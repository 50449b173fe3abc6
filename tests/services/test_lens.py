"""Lens: the choice of the one program follows from the journal alone, and its evidence is true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.commands import Generate, Score, Select
from atlas.contracts import (
    Candidate,
    Energy,
    EnergyScore,
    Example,
    Execution,
    LogprobSummary,
    Problem,
    SamplingParams,
    TestResult,
    Unavailable,
    Usage,
    Verdict,
)
from atlas.errors import BadInput
from atlas.events import (
    CandidateGenerated,
    CandidateScored,
    ExecutionFinished,
    Pins,
    TaskDecided,
    TaskSubmitted,
)
from atlas.lens.table import Shelf
from atlas.llama_fake import FakeModelServer
from atlas.pipeline import advance
from atlas.policy import Policy
from atlas.state import TaskState
from atlas.worker import direct
from services.lens.energy import Scorer
from services.lens.selection import select
from services.lens.worker import handler

NO_MODEL = FakeModelServer(lambda _: "")
NO_WEIGHTS = Scorer(Shelf(()))
SAMPLING = SamplingParams(temperature=0.7, max_tokens=64, seed=1)
NOT_SCORED = Unavailable(reason="not scored")
SUBMITTED = TaskSubmitted(
    problem=Problem(statement="s", examples=tuple(Example(input=str(i), output=str(i)) for i in range(3))),
    policy=Policy(name="p", k=5),
    pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="smol"),
    deadline_s=60,
)


def energy(value: float) -> Energy:
    return Energy(value=value, weights="w")


def candidate(
    i: int, mean: float | None = -1.0, scored: EnergyScore = NOT_SCORED, code: str | None = "x"
) -> Candidate:
    logprob = None if mean is None else LogprobSummary(mean=mean, minimum=mean, lowest_decile=mean)
    usage = Usage(tokens_out=1)
    return Candidate(
        id=f"c{i}", origin="sample", code=code, sampling=SAMPLING, usage=usage, logprob=logprob, energy=scored
    )


def ran(passed: int) -> Execution:
    verdicts = [Verdict.ACCEPTED] * passed + [Verdict.WRONG_ANSWER] * (3 - passed)
    results = tuple(TestResult(verdict=verdict) for verdict in verdicts)
    return Execution(results=results, isolation="fake", seconds=0.1)


def state(*drawn: tuple[Candidate, int | None], submitted: TaskSubmitted = SUBMITTED) -> TaskState:
    return TaskState(
        seq=9,
        submitted=submitted,
        candidates={c.id: c for c, _ in drawn},
        executions={c.id: ran(passed) for c, passed in drawn if passed is not None},
    )


def chosen(*drawn: tuple[Candidate, int | None]) -> str:
    return select(state(*drawn), "select").candidate


def test_passing_beats_partly_passing_beats_failing() -> None:
    best = candidate(0, -9.0, energy(9))
    assert (
        chosen((candidate(1), 1), (candidate(2, -0.1, energy(0)), 2), (best, 3), (candidate(3), None)) == "c0"
    )
    assert chosen((candidate(1), 1), (candidate(2), 2), (candidate(3), 0)) == "c2"


def test_ties_go_to_the_lower_energy_then_the_likelier_then_the_earlier() -> None:
    assert chosen((candidate(0, -0.1, energy(2)), 3), (candidate(1, -5.0, energy(1)), 3)) == "c1"
    assert chosen((candidate(0, -0.1), 3), (candidate(1, -5.0, energy(50)), 3)) == "c1", "a score beats none"
    assert chosen((candidate(0, -2.0), 3), (candidate(1, -1.0), 3)) == "c1"
    assert chosen((candidate(0, None), 3), (candidate(1, -9.0), 3)) == "c1"
    assert chosen((candidate(0), 3), (candidate(1), 3)) == "c0"
    assert chosen((candidate(0, None), None), (candidate(1, None), None)) == "c0"


def test_a_candidate_without_a_program_is_never_chosen() -> None:
    assert chosen((candidate(0, -0.1, energy(0), code=None), None), (candidate(1, -9.0), 0)) == "c1"


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(BadInput, match="no program"):
        select(state(), "select")
    with pytest.raises(BadInput, match="no program"):
        select(state((candidate(0, code=None), None)), "select")


scores = st.one_of(st.just(NOT_SCORED), st.floats(0, 3).map(energy))
means = st.one_of(st.none(), st.sampled_from([-2.0, -1.0, 0.0]))
codes = st.sampled_from(["x", "x", "y", None])


@st.composite
def drawings(draw: st.DrawFn) -> list[tuple[Candidate, int | None]]:
    found = []
    for i in range(draw(st.integers(1, 5))):
        one = candidate(i, draw(means), draw(scores), draw(codes))
        passed = draw(st.one_of(st.none(), st.integers(0, 3))) if one.code is not None else None
        found.append((one, passed))
    return found


@given(drawings())
def test_the_choice_and_its_evidence_follow_from_the_journal(
    drawn: list[tuple[Candidate, int | None]],
) -> None:
    programs = [(c, passed) for c, passed in drawn if c.code is not None]
    if not programs:
        with pytest.raises(BadInput):
            select(state(*drawn), "select")
        return
    here = state(*drawn)
    decided = select(here, "select")
    # The same journal read again (fresh objects) gives the same answer; so does any other submission data.
    again = [(Candidate.model_validate_json(c.model_dump_json()), passed) for c, passed in drawn]
    assert select(state(*again), "select") == decided
    other = SUBMITTED.model_copy(
        update={"priority": "p2", "deadline_s": 1, "policy": Policy(name="q", seed=4)}
    )
    assert select(state(*drawn, submitted=other), "select") == decided
    best, passed = next((c, p) for c, p in programs if c.id == decided.candidate)
    assert (passed if passed is not None else -1) == max(p if p is not None else -1 for _, p in programs)
    evidence = decided.evidence
    assert evidence.public_passed == (passed or 0)
    assert evidence.public_total == 3
    assert evidence.candidates == len(drawn)
    assert evidence.survivors == sum(p == 3 for _, p in programs)
    assert evidence.energy == best.energy
    assert evidence.mean_logprob == (best.logprob.mean if best.logprob else None)
    assert evidence.isolation == (None if passed is None else "fake")
    basis = "not_executed" if passed is None else "passed_public_examples" if passed == 3 else "best_partial"
    assert evidence.basis == basis


@given(drawings(), st.randoms(use_true_random=False))
def test_only_ties_depend_on_the_order_of_drawing(
    drawn: list[tuple[Candidate, int | None]], chance: object
) -> None:
    programs = [(c, passed) for c, passed in drawn if c.code is not None]
    if not programs:
        return
    merits = {c.id: (p, c.energy, c.logprob and c.logprob.mean) for c, p in programs}
    shuffled = list(drawn)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merits[chosen(*shuffled)] == merits[chosen(*drawn)]


def test_without_public_examples_the_evidence_says_so() -> None:
    bare = SUBMITTED.model_copy(update={"problem": Problem(statement="s")})
    evidence = select(state((candidate(0), None), submitted=bare), "select").evidence
    assert (evidence.basis, evidence.public_total, evidence.survivors) == ("no_public_examples", 0, 0)


async def test_commands_become_their_events() -> None:
    context = direct(SUBMITTED, Score(id="score:c0", candidate="c0"))
    (event,) = await handler(NO_MODEL, NO_WEIGHTS)(context)
    assert isinstance(event, CandidateScored)
    assert event.command == "score:c0"
    assert event.energy == Unavailable(reason="no lens weights for model 'smol'")
    context = direct(SUBMITTED, Select(id="select"))
    context.state = state((candidate(0), 3))
    (event,) = await handler(NO_MODEL, NO_WEIGHTS)(context)
    assert isinstance(event, TaskDecided)
    assert (event.command, event.candidate) == ("select", "c0")
    with pytest.raises(TypeError, match="generate"):
        await handler(NO_MODEL, NO_WEIGHTS)(direct(SUBMITTED, Generate(id="generate:0", first=0)))


def test_events_are_what_the_fold_takes() -> None:
    """The states above are built by hand; this is the real fold's view of one candidate and its run."""
    generated = CandidateGenerated(command="generate:0", candidate=candidate(0))
    finished = ExecutionFinished(command="execute:c0", candidate="c0", execution=ran(3))
    folded = advance(advance(advance(TaskState(), [SUBMITTED]).state, [generated]).state, [finished]).state
    assert folded.candidates == state((candidate(0), 3)).candidates
    assert folded.executions == state((candidate(0), 3)).executions
