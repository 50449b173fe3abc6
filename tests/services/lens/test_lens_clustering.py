"""Clusters: their order, how many independent programs agree, and which two are in contest."""

from __future__ import annotations

import pytest
from hypothesis import given
from lens_states import BY_SIZE, CRASH, Drawn, state, states, under

from atlas.pipeline import entrants, programs
from atlas.policy import Selector
from atlas.state import TaskState
from services.lens.clustering import cluster, clusters


def ids(task: TaskState) -> list[tuple[str, ...]]:
    return [w.cluster.ids for w in clusters(task).ranked]


def agreeing(*drawn: Drawn, examples: int = 1) -> int:
    return cluster(state(*drawn, examples=examples), "cluster").agreeing


ONE, TWO = (["1", "1"],), (["1", "2"],)


def test_programs_that_gave_the_same_are_together() -> None:
    task = state(Drawn("a", TWO), Drawn("b", ONE), Drawn("cc", ONE), Drawn("a"), selector="majority")
    assert ids(task) == [("c0", "c3"), ("c1", "c2")]
    event = cluster(task, "cluster:4-3")
    assert (event.command, event.inputs) == ("cluster:4-3", 2)


def test_a_majority_is_by_size_then_likelihood_then_length() -> None:
    def order(*drawn: Drawn) -> list[tuple[str, ...]]:
        return ids(state(*drawn, selector="majority"))

    assert order(Drawn("a", ONE), Drawn("b", TWO, mean=-9), Drawn("c", TWO, mean=-9))[0] == ("c1", "c2")
    assert order(Drawn("a", ONE, mean=-2), Drawn("b", TWO, mean=-1))[0] == ("c1",)
    assert order(Drawn("a", ONE, mean=None), Drawn("b", TWO, mean=-9))[0] == ("c1",)
    assert order(Drawn("aaa", ONE), Drawn("b", TWO))[0] == ("c1",)
    assert order(Drawn("a", ONE), Drawn("b", TWO))[0] == ("c0",)


@pytest.mark.parametrize("selector", ["majority", "calibrated"])
def test_those_that_crash_everywhere_have_no_vote(selector: Selector) -> None:
    crash = ([CRASH, CRASH],)
    task = state(Drawn("a", crash), Drawn("b", crash), Drawn("c", ONE), examples=0, selector=selector)
    assert [w.cluster.ids for w in clusters(task, BY_SIZE).ranked] == [("c2",), ("c0", "c1")]


def test_the_calibrated_order_is_by_probability() -> None:
    task = state(Drawn("a", ONE), Drawn("b", TWO), Drawn("c", TWO), selector="calibrated")
    ranked = clusters(task, BY_SIZE).ranked
    assert [w.probability for w in ranked] == sorted((w.probability for w in ranked), reverse=True)
    assert ranked[0].cluster.ids == ("c1", "c2")


def test_a_program_that_was_not_run_is_with_nobody_but_its_copies() -> None:
    task = state(Drawn("a", ONE), Drawn("b", (None,)), Drawn("b"), Drawn("c", ONE))
    assert ids(task) == [("c0", "c3"), ("c1", "c2")]


def test_without_usable_inputs_only_copies_are_together() -> None:
    task = state(Drawn("a", ([CRASH],)), Drawn("b", ([CRASH],)), Drawn("a"))
    assert clusters(task).groups.comparison == "no_usable_inputs"
    assert ids(task) == [("c0", "c2"), ("c1",)]


def test_what_the_comparison_rests_on() -> None:
    def said(task: TaskState) -> str:
        return clusters(task).groups.comparison

    assert said(state(Drawn("a", ONE), Drawn("b", TWO))) == "compared"
    assert said(state(Drawn("a"), Drawn("a"))) == "one_program"
    assert said(state(Drawn("a", passed=0), Drawn("b", passed=0))) == "no_survivor"
    assert said(state(Drawn("a"), Drawn("b"), inputs=0)) == "not_asked"
    assert said(state(Drawn("a", passed=0), inputs=0)) == "not_asked"


def test_where_none_passes_the_best_partial_program_comes_first() -> None:
    task = state(
        Drawn("a", passed=1),
        Drawn("bb", passed=2, mean=-2),
        Drawn("cc", passed=2),
        Drawn("c", passed=2),
        examples=3,
    )
    assert ids(task) == [("c3",), ("c2",), ("c1",), ("c0",)]


def test_independent_members_agree() -> None:
    assert agreeing(Drawn("a", ONE), Drawn("b", ONE), Drawn("c", TWO)) == 2
    assert agreeing(Drawn("a", ONE), Drawn("a")) == 2, "drawn twice, each time by itself"
    assert agreeing(Drawn("a", ONE, temperature=0), Drawn("b", ONE, temperature=0)) == 1


def test_members_of_one_plan_count_once_and_repairs_never() -> None:
    planned = [Drawn(f"p{plan}", ONE, plan=plan) for plan in (0, 1, 2)]
    assert agreeing(*planned) == 2, "the plans 0 and 2 are equal"
    assert agreeing(planned[0], Drawn("b", ONE)) == 2
    assert agreeing(planned[0], Drawn("b", ONE, origin="repair")) == 1


def test_agreeing_to_crash_on_a_usable_input_is_no_agreement() -> None:
    crash = ([CRASH, "1"],)
    assert agreeing(Drawn("a", crash), Drawn("b", crash), Drawn("c", TWO)) == 1
    assert agreeing(Drawn("a", crash), Drawn("b", crash)) == 2, "an input that all fail on is not usable"


def test_with_nothing_to_agree_on_nobody_agrees() -> None:
    nothing = ([CRASH],)
    assert agreeing(Drawn("a", nothing), Drawn("a"), Drawn("b", nothing), examples=0) == 0
    assert agreeing(Drawn("a", nothing), Drawn("a"), Drawn("b", nothing)) == 2, "they agree on the example"
    assert agreeing(Drawn("a", ONE), Drawn("b", ONE), examples=0) == 2, "they agree on the inputs"
    assert agreeing(Drawn("a", ONE), Drawn("b", (None,)), Drawn("b"), Drawn("c", ONE), examples=0) == 2


def test_two_close_clusters_are_in_contest_by_their_shortest_programs() -> None:
    task = state(Drawn("aaa", ONE), Drawn("a", ONE), Drawn("bbb", TWO), Drawn("b", TWO))
    assert cluster(task, "c", BY_SIZE).contested == ("c1", "c3")
    clear = state(*[Drawn(f"a{i}", ONE) for i in range(8)], Drawn("b", TWO))
    first, second = clusters(clear, BY_SIZE).ranked
    assert first.probability - second.probability > 0.25
    assert cluster(clear, "c", BY_SIZE).contested is None


def test_who_cannot_be_compared_is_in_no_contest_unless_nobody_can() -> None:
    assert cluster(state(Drawn("a", ONE), Drawn("b", (None,))), "c", BY_SIZE).contested is None
    assert cluster(state(Drawn("a", ([CRASH],)), Drawn("b", ([CRASH],))), "c", BY_SIZE).contested == (
        "c0",
        "c1",
    )
    assert cluster(state(Drawn("a", ONE), Drawn("b", ONE)), "c", BY_SIZE).contested is None


@given(states())
def test_clusters_part_the_programs(task: TaskState) -> None:
    if not programs(task):
        return
    found = clusters(task)
    standing = [c.id for c in entrants(task) or programs(task)]
    assert sorted(name for w in found.ranked for name in w.cluster.ids) == sorted(standing)
    for weighed in found.ranked:
        assert found.of(weighed.cluster.ids[0]) is weighed
        assert 0 <= weighed.probability <= 1
    texts = {c.id: c.code for c in programs(task)}
    for name in standing:
        same = {other for other in standing if texts[other] == texts[name]}
        assert same <= set(found.of(name).cluster.ids), "copies were parted"
    event = cluster(task, "cluster")
    assert event == cluster(task, "cluster")
    assert event.agreeing <= max(len(c.candidates) for c in event.clusters)
    if event.contested:
        one, other = event.contested
        assert [one in event.clusters[0].candidates, other in event.clusters[1].candidates] == [True, True]


@given(states())
def test_the_selector_changes_the_order_and_nothing_else(task: TaskState) -> None:
    if not programs(task):
        return
    majority, examples = (clusters(under(task, selector=name)) for name in ("majority", "examples"))
    calibrated = clusters(under(task, selector="calibrated"))
    assert majority == examples
    key = {w.cluster.ids: w.probability for w in majority.ranked}
    assert key == {w.cluster.ids: w.probability for w in calibrated.ranked}


def test_a_candidate_that_is_in_no_cluster_is_told() -> None:
    with pytest.raises(KeyError, match="c9"):
        clusters(state(Drawn("a", ONE))).of("c9")
