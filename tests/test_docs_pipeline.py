"""What docs/PIPELINE.md says of the calls is what tours show, and too little of a tour is not enough."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from atlas.events import AnyEvent, ModelCallFinished
from atlas.policy import POLICIES, Policy

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import docs_drawn
import docs_pipeline
import docs_tours
from docs_pipeline import CALLS, Made, calls_made, check, most, seed, within


@pytest.fixture(scope="module")
def journals() -> list[tuple[Policy, Sequence[AnyEvent]]]:
    return [(tour.policy, tour.events()) for tour in docs_tours.MEASURED.values()]


@pytest.fixture(scope="module")
def calls(journals: list[tuple[Policy, Sequence[AnyEvent]]]) -> dict[str, list[Made]]:
    return calls_made([events for _, events in journals])


def test_seeds_of_a_series_are_told_by_its_numbers(calls: dict[str, list[Made]]) -> None:
    seeds = {name: seed(made) for name, made in calls.items()}
    assert seeds["generate:N/code:C/think"] == "C"
    assert seeds["generate:N/code:C/wait:W"] == "C + 100 × W"
    assert seeds["generate:N/code:C/answer"] == "100 + C + 100 × W", "100, 101, ... without a wait"
    assert seeds["refine:N/code"] == "801 + 2 × N"
    assert seeds["write:N/distinguish"] == "600 + 10 × N"
    assert seeds["write:0/inputs"] == "600"


def test_one_call_of_a_series_does_not_tell_its_seeds(calls: dict[str, list[Made]]) -> None:
    for name in ("refine:N/code", "write:N/distinguish", "generate:N/code:C/think"):
        with pytest.raises(LookupError, match="do not follow"):
            seed(calls[name][:1])


def test_seeds_that_are_no_sum_are_not_described_as_one(calls: dict[str, list[Made]]) -> None:
    made = calls["repair:N/code"]
    assert len(made) > 2
    other = made[0].event.sampling.model_copy(update={"seed": 1})
    odd = Made(made[0].numbers, made[0].event.model_copy(update={"sampling": other}))
    with pytest.raises(LookupError, match="do not follow"):
        seed([odd, *made[1:]])


@pytest.mark.parametrize(
    ("name", "counted", "said"),
    [
        ("plans/plan:N", "1 with plans", "2 calls, not 1"),
        ("refine:N/code", "repairs", "no tour made as many"),
        ("write:0/inputs", "readings", "no tour made as many"),
    ],
)
def test_a_wrong_count_is_found(
    name: str,
    counted: str,
    said: str,
    journals: list[tuple[Policy, Sequence[AnyEvent]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(journals)
    monkeypatch.setitem(CALLS, name, (CALLS[name][0], counted))
    with pytest.raises(LookupError, match=said):
        check(journals)


def test_a_call_without_a_name_is_found() -> None:
    with pytest.raises(LookupError, match="not named: plans/other"):
        docs_pipeline.kind("plans/other")


def test_named_policies_write_no_inputs_and_plan_once_at_most() -> None:
    assert not any(most(CALLS["write:0/inputs"][1], policy) for policy in POLICIES.values())
    assert [most(CALLS["plans/constraints"][1], POLICIES[name]) for name in "AB"] == [0, 1]
    tours = docs_tours.of_policy(POLICIES["B"])
    assert {tour.thinks for tour in tours} == {False, True}
    assert within([(tour.policy, tour.events()) for tour in tours]) >= {"plans/plan:N", "generate:N/code:C"}


def test_what_d_does_next_is_what_is_worth_most_of_what_is_possible() -> None:
    events = docs_tours.D.events()
    chosen = [line for line in docs_drawn.weighed(events).splitlines()[2:] if "**" in line]
    worth = [[float(cell.strip("* ")) for cell in line.split("|")[2:-1] if cell.strip()] for line in chosen]
    best = [float(line.split("**")[1]) for line in chosen]
    assert best == [max(values) for values in worth]
    assert {line.split("`")[1].partition(":")[0] for line in chosen} == {"generate", "brute_force"}
    assert docs_drawn.drawn(events).endswith("decided: c0, drawing stopped by 'price'\n```")


def test_the_lens_scores_before_runs_in_c_and_after_them_in_e() -> None:
    first = {}
    for name, tour in {"C": docs_tours.C, "E": docs_tours.E}.items():
        text = docs_drawn.drawn(tour.events())
        first[name] = text.index("score:c0") < text.index("execute:c0")
    assert first == {"C": True, "E": False}
    assert "blend_asc" in docs_drawn.drawn(docs_tours.BLEND_ASC.events())


def test_tours_are_measured_by_a_policy_with_numbers_of_its_own() -> None:
    events = docs_tours.MEASURED["nothing passes"].events()
    seeds = {event.sampling.seed for event in events if isinstance(event, ModelCallFinished)}
    assert min(seeds) == 1000 * docs_tours.SEED > 0
