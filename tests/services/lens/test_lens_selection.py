"""The one program under each selector, what is said of it, and when nothing is handed back."""

from __future__ import annotations

import pytest
from hypothesis import given
from lens_states import BY_SIZE, CRASH, Drawn, state, states, under

from atlas.contracts import Problem, Step
from atlas.events import TaskAbstained, TaskDecided
from atlas.evidence import Agreement
from atlas.pipeline import entrants, programs, survivors
from atlas.selector import SelectorWeights
from atlas.state import TaskState
from services.lens.clustering import clusters
from services.lens.selection import select

ONE, TWO = (["1", "1"],), (["1", "2"],)


def chosen(*drawn: Drawn, weights: SelectorWeights = BY_SIZE, **policy: object) -> str:
    return select(state(*drawn, **policy), "select", weights).candidate  # type: ignore[arg-type]


def test_each_selector_follows_its_own_rule() -> None:
    task = state(Drawn("likely", ONE, mean=-0.1), Drawn("longer", TWO, mean=-2), Drawn("short", TWO, mean=-2))
    assert select(under(task, selector="examples"), "select").candidate == "c0"
    assert select(under(task, selector="majority"), "select").candidate == "c2"
    assert select(under(task, selector="calibrated"), "select", BY_SIZE).candidate == "c2"


@pytest.mark.parametrize("selector", ["majority", "calibrated"])
def test_equal_clusters_go_to_the_shortest_then_the_first(selector: str) -> None:
    assert chosen(Drawn("aaa", ONE), Drawn("bbb", TWO), selector=selector) == "c0"
    assert chosen(Drawn("aa", ONE), Drawn("bb", ONE), selector=selector) == "c0"
    assert chosen(Drawn("aaa", ONE), Drawn("bb", ONE), selector=selector) == "c1"
    assert chosen(Drawn("aaa", ONE), Drawn("bb", TWO), selector=selector) == "c1"


@pytest.mark.parametrize("selector", ["majority", "calibrated"])
def test_equal_clusters_go_to_the_likelier_before_the_shorter(selector: str) -> None:
    assert chosen(Drawn("a", ONE, mean=-2), Drawn("longer", TWO, mean=-0.1), selector=selector) == "c1"


@pytest.mark.parametrize("selector", ["majority", "calibrated"])
def test_without_a_survivor_the_best_partial_program_is_chosen(selector: str) -> None:
    task = state(
        Drawn("a", passed=0, mean=-0.1),
        Drawn("long", passed=2),
        Drawn("b", passed=2),
        examples=3,
        selector=selector,
    )
    decided = select(task, "select")
    assert (decided.candidate, decided.evidence.basis) == ("c2", "best_partial")
    assert decided.evidence.agreement == Agreement(comparison="no_survivor")
    assert decided.evidence.confidence is not None


@pytest.mark.parametrize("selector", ["examples", "majority", "calibrated"])
def test_of_programs_that_pass_nothing_one_that_compiles_is_chosen(selector: str) -> None:
    cut_off = Drawn("a", passed=0, mean=-0.01, energy=0.0, compiles=False)
    runs = Drawn("longer", passed=0, mean=-2.0, energy=9.0)
    assert chosen(cut_off, runs, examples=2, selector=selector) == "c1"
    assert chosen(runs, cut_off, examples=2, selector=selector) == "c0"
    assert chosen(cut_off, cut_off, examples=2, selector=selector) == "c0"


def test_the_evidence_tells_the_comparison() -> None:
    task = state(Drawn("a", TWO), Drawn("b", ONE), Drawn("c", ONE), Drawn("d", passed=0), selector="majority")
    decided = select(task, "select")
    assert decided.evidence.agreement == Agreement(
        comparison="compared", inputs=2, agreeing=2, clusters=(2, 1)
    )
    assert decided.evidence.confidence == clusters(task).of("c1").probability
    first = select(under(task, selector="examples"), "select")
    assert first.evidence.agreement == Agreement(comparison="compared", inputs=2, agreeing=1, clusters=(1, 2))


def test_inputs_that_tell_nothing_and_copies() -> None:
    nothing = ([CRASH],)
    evidence = select(state(Drawn("a", nothing), Drawn("b", nothing)), "select").evidence
    assert evidence.agreement == Agreement(comparison="no_usable_inputs")
    evidence = select(state(Drawn("a"), Drawn("a")), "select").evidence
    assert evidence.agreement == Agreement(comparison="one_program", agreeing=2)
    evidence = select(state(Drawn("a"), Drawn("b"), inputs=0), "select").evidence
    assert evidence.agreement == Agreement(comparison="not_asked")


def test_a_deadline_amid_the_first_round_leaves_what_was_run() -> None:
    task = state(
        Drawn("a", (None,)), Drawn("b", ONE), Drawn("c", ONE), Drawn("d", (None,)), selector="majority"
    )
    decided = select(task, "select")
    assert decided.candidate == "c1"
    assert decided.evidence.agreement == Agreement(
        comparison="compared", inputs=2, agreeing=2, clusters=(2, 1, 1)
    )


def test_a_deadline_amid_a_later_round_leaves_that_round_out() -> None:
    half = state(
        Drawn("a", (["1"], None)), Drawn("b", (["1"], ["2"])), Drawn("c", (["1"], ["3"])), selector="majority"
    )
    whole = state(Drawn("a", (["1"],)), Drawn("b", (["1"],)), Drawn("c", (["1"],)), selector="majority")
    assert select(half, "select") == select(whole, "select")


def test_silence_below_the_least_confidence() -> None:
    task = state(Drawn("a", ONE), Drawn("b", TWO), selector="calibrated")
    decided = select(task, "select")
    confidence = decided.evidence.confidence
    assert confidence is not None
    assert isinstance(select(under(task, abstain_below=confidence), "select"), TaskDecided)
    silent = select(under(task, abstain_below=min(1.0, confidence + 0.01)), "select")
    assert isinstance(silent, TaskAbstained)
    assert (silent.candidate, silent.evidence, silent.command) == (
        decided.candidate,
        decided.evidence,
        "select",
    )


@pytest.mark.parametrize(
    "problem",
    [
        Problem(statement="s", kind="steps", steps=(Step(description="d", header="def f(): ..."),)),
        Problem(statement="s", kind="choice", choices=("x", "y")),
    ],
)
def test_letters_and_steps_have_no_confidence_and_are_never_held_back(problem: Problem) -> None:
    task = state(Drawn("A"), Drawn("B", mean=-0.5), Drawn("A"), examples=0, inputs=0, abstain_below=1.0)
    task = TaskState(
        seq=9,
        submitted=task.task.model_copy(update={"problem": problem}),
        candidates=task.candidates,
    )
    decided = select(task, "select")
    assert isinstance(decided, TaskDecided)
    assert (decided.evidence.confidence, decided.evidence.agreement) == (None, None)
    assert decided.candidate == ("c1" if problem.kind == "steps" else "c0")


@given(states())
def test_the_choice_follows_from_the_journal(task: TaskState) -> None:
    if not programs(task):
        return
    decided = select(task, "select")
    assert decided == select(task, "select")
    evidence = decided.evidence
    assert decided.candidate in {c.id for c in entrants(task) or programs(task)}
    assert evidence.survivors == len(survivors(task))
    found = clusters(task)
    assert evidence.confidence == found.of(decided.candidate).probability
    assert evidence.agreement is not None
    assert evidence.agreement.comparison == found.groups.comparison
    assert evidence.agreement.inputs == found.groups.inputs
    if evidence.agreement.clusters:
        assert evidence.agreement.clusters[0] == evidence.agreement.agreeing
        assert sum(evidence.agreement.clusters) == found.groups.size
    if task.task.policy.selector != "examples":
        assert decided.candidate in found.ranked[0].cluster.ids
        same = [c for c in programs(task) if c.id in found.ranked[0].cluster.ids]
        assert all(len(decided_code(task, decided.candidate)) <= len(c.code or "") for c in same)


def decided_code(task: TaskState, name: str) -> str:
    return task.candidates[name].code or ""
