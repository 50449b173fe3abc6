"""When two programs gave the same, and on which inputs that is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lens_states import CRASH, OUTCOMES, Drawn, Given, run, state, states

from atlas.executor import RunStatus
from atlas.pipeline import programs
from atlas.state import TaskState
from services.lens.signatures import Signature, Signatures, agree, signatures

LONG = "7" * 600


def found(task: TaskState) -> Signatures:
    return signatures(task, programs(task))


def kinds(*columns: Given, kind: str = "stdin") -> list[int]:
    """The kinds of outcome of as many programs on one input, after one on which all end well."""
    drawn = [Drawn(f"p{i}", (["ok", given],)) for i, given in enumerate(columns)]
    of = found(state(*drawn, kind=kind)).of  # type: ignore[arg-type]
    return [s.kinds[1] for s in of.values()]


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("stdin", "1 2", "1  2\n", True),
        ("stdin", "0.1", "0.10000000001", True),
        ("stdin", "5", "5.00000001", True),
        ("stdin", "5", "6", False),
        ("stdin", "", "", True),
        ("stdin", "yes", CRASH, False),
        ("stdin", CRASH, CRASH, True),
        ("stdin", CRASH, RunStatus.TIME_LIMIT, False),
        ("function", "[1, 2]", "[1,2]", True),
        ("function", "[0.3]", "[0.30000000001]", True),
        ("function", "true", "1", False),
        ("function", "NaN", "NaN", True),
        ("function", "null", "", False),
        ("function", "", "", False),
        ("function", "", CRASH, False),
        ("stdin", LONG, LONG, True),
        ("stdin", LONG, LONG + "8", False),
        ("stdin", LONG, LONG[:512], False),
    ],
)
def test_agreement_is_the_graders_and_symmetric(kind: str, one: Given, other: Given, same: bool) -> None:
    assert agree(kind, run(one), run(other)) is same  # type: ignore[arg-type]
    assert agree(kind, run(other), run(one)) is same  # type: ignore[arg-type]


@given(st.sampled_from(["stdin", "function"]), st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES))
def test_agreement_is_symmetric(kind: str, one: Given, other: Given) -> None:
    assert agree(kind, run(one), run(other)) == agree(kind, run(other), run(one))  # type: ignore[arg-type]


def test_a_chain_of_near_floats_is_cut_where_it_leaves_the_first() -> None:
    assert kinds("1.0", "1.0000009", "1.0000018") == [0, 0, 1]
    assert kinds("1.0000009", "1.0", "1.0000018") == [0, 0, 0]
    assert kinds("1.0", "1.0000018", "1.0000009") == [0, 1, 0]


def test_a_value_without_a_word_agrees_with_its_own_program_only() -> None:
    assert kinds("", "", "1", kind="function") == [0, 1, 2]
    twice = state(Drawn("a", (["", "1"],)), Drawn("a"), Drawn("b", (["2", "1"],)), kind="function")
    assert found(twice).of["a"] == Signature(kinds=(0, 0), ok=(False, True))


def test_inputs_that_every_program_fails_on_are_left_out() -> None:
    task = state(Drawn("a", ([CRASH, "1"],)), Drawn("b", ([RunStatus.TIME_LIMIT, "1"],)))
    assert found(task) == Signatures(1, dict.fromkeys(("a", "b"), Signature((0,), (True,))))
    nothing = state(Drawn("a", ([CRASH],)), Drawn("b", ([CRASH],)))
    assert found(nothing).inputs == 0


def test_an_input_that_comes_again_is_no_further_evidence() -> None:
    task = state(
        Drawn("a", (["1", "1"], ["1", "2"])),
        Drawn("b", (["1", "1"], ["1", "3"])),
        texts={(0, 1): "0 0", (1, 0): "0 0"},
    )
    assert found(task).inputs == 2


def test_a_program_whose_first_probe_is_missing_is_apart() -> None:
    task = state(Drawn("a", (["1"],)), Drawn("b", (None,)), Drawn("c", (["1"],)), failed=["probe:0:c1"])
    assert list(found(task).of) == ["a", "c"]
    broken = state(Drawn("a", (["1"],)), Drawn("b", ([RunStatus.INFRASTRUCTURE_ERROR],)))
    assert list(found(broken).of) == ["a"], "a probe in which nothing ran is none"


def test_a_later_round_counts_only_when_nobody_waits_for_it() -> None:
    one, other = Drawn("a", (["1"], ["1"])), Drawn("b", (["1"], None))
    assert found(state(one, other)).inputs == 1, "the deadline came before b was run"
    failed = found(state(one, other, failed=["probe:1:c1"]))
    assert (failed.inputs, list(failed.of)) == (2, ["a"]), "b can never be run: it is apart"


def test_an_input_that_the_machinery_spoiled_is_left_out_for_all() -> None:
    task = state(Drawn("a", (["1", "2"],)), Drawn("b", ([RunStatus.INFRASTRUCTURE_ERROR, "2"],)))
    assert found(task).inputs == 1
    assert all(s.kinds == (0,) for s in found(task).of.values())


@given(states())
def test_signatures_are_all_over_the_same_inputs(task: TaskState) -> None:
    here = found(task)
    assert here == found(task)
    for signature in here.of.values():
        assert len(signature.kinds) == len(signature.ok) == here.inputs
    for i in range(here.inputs):
        assert any(s.ok[i] for s in here.of.values()), "an unusable input was kept"
        ok = {(s.kinds[i], s.ok[i]) for s in here.of.values()}
        assert len(ok) == len({kind for kind, _ in ok}), "one kind both ended well and did not"


@given(states())
def test_without_near_floats_the_order_of_drawing_does_not_matter(task: TaskState) -> None:
    forward = found(task)
    backward = signatures(task, programs(task)[::-1])
    if any(run.output == "1.0000001" for runs in task.probes.values() for run in runs):
        return
    assert forward.inputs == backward.inputs
    for one in forward.of:
        for other in forward.of:
            same = forward.of[one].kinds == forward.of[other].kinds
            assert same == (backward.of[one].kinds == backward.of[other].kinds)
