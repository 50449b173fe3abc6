"""What the calibrated selector knows of a cluster: finite, in range, under the names of its weights."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from lens_states import CRASH, Drawn, state, states

from atlas.pipeline import programs
from atlas.selector import FEATURES
from atlas.state import TaskState
from services.lens.clustering import clusters

MOST = {"log_independent": 4.4, "energy": 10.0, "logprob_over": 3.0}
LEAST = {"logprob_over": -3.0, "reading_lead": -0.5}


def of(task: TaskState, candidate: str = "c0") -> dict[str, float]:
    return dict(clusters(task).of(candidate).features)


@given(states())
def test_every_feature_is_there_and_within_its_range(task: TaskState) -> None:
    if not programs(task):
        return
    for weighed in clusters(task).ranked:
        assert set(weighed.features) == set(FEATURES)
        for name, value in weighed.features.items():
            assert LEAST.get(name, 0.0) <= value <= MOST.get(name, 1.0), f"{name} is {value}"
            assert math.isfinite(value)


def test_sizes_are_those_of_what_could_be_handed_back() -> None:
    task = state(
        Drawn("a", (["1", "1"], ["1"])),
        Drawn("b", (["1", "1"], ["1"])),
        Drawn("c", (["1", CRASH], ["2"])),
        Drawn("d", passed=0),
    )
    large, small = of(task), of(task, "c2")
    assert (large["size_share"], small["size_share"]) == pytest.approx((2 / 3, 1 / 3))
    assert (large["log_independent"], small["log_independent"]) == pytest.approx((math.log(3), math.log(2)))
    assert (large["examples_passed"], large["no_survivor"]) == (1, 0)


def test_readings_are_those_of_the_cluster_they_were_asked_for() -> None:
    three = [Drawn("a", (["1"],)), Drawn("b", (["2"],)), Drawn("c", (["3"],))]
    task = state(*three, votes=(3, 1))
    assert [of(task, f"c{i}")["reading_lead"] for i in range(3)] == [0.25, -0.25, 0]
    assert of(state(*three, votes=(0, 0)))["reading_lead"] == 0
    together = state(Drawn("a", (["1"],)), Drawn("b", (["1"],)), votes=(3, 0))
    assert of(together)["reading_lead"] == 0


def test_what_is_not_known_is_zero() -> None:
    bare = of(state(Drawn("a", mean=None), examples=0, inputs=0))
    unknown = ("examples_passed", "no_survivor", "reading_lead", "logprob_over", "has_energy", "energy")
    assert [bare[name] for name in unknown] == [0] * 6


def test_what_programs_are_like_is_told_within_the_task() -> None:
    same = (Drawn("a", (["1"],), energy=3.0), Drawn("bb", (["1"],), energy=2.0, mean=-0.5))
    task = state(*same, Drawn("cc", (["2"],), energy=0.5), Drawn("d", (["3"],)))
    assert of(task)["logprob_over"] == pytest.approx(-0.75 + 2.75 / 3)
    energies = [(of(task, f"c{i}")["has_energy"], of(task, f"c{i}")["energy"]) for i in (0, 2, 3)]
    assert energies == [(1, 1.5), (1, 0), (0, 0)], "above the task's lowest"


def test_that_nobody_survives_is_told() -> None:
    partial = of(state(Drawn("a", passed=1), Drawn("b", passed=0), examples=2))
    assert (partial["no_survivor"], partial["examples_passed"]) == (1, 0.5)
