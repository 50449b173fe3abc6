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

MOST = {
    "log_examples": 4.0,
    "log_size": 4.4,
    "log_independent": 4.4,
    "log_inputs": 5.8,
    "energy": 10.0,
    "task_length": 11.1,
    "length_over": 11.1,
    "logprob_over": 3.0,
    "task_logprob": 0.0,
}
LEAST = {"margin": -1.0, "task_logprob": -3.0, "logprob_over": -3.0, "length_over": -11.1}


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


def test_sizes_and_votes() -> None:
    task = state(
        Drawn("a", (["1", "1"], ["1"])),
        Drawn("b", (["1", "1"], ["1"])),
        Drawn("c", (["1", CRASH], ["2"])),
        Drawn("d", passed=0),
    )
    large, small = of(task), of(task, "c2")
    assert (large["size_share"], large["is_largest"], large["margin"]) == pytest.approx((2 / 3, 1, 1 / 3))
    assert (small["size_share"], small["is_largest"], small["margin"]) == pytest.approx((1 / 3, 0, -1 / 3))
    assert large["survivor_share"] == 3 / 4
    assert large["input_agreement"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert small["input_agreement"] == pytest.approx((1 + 0 + 1 / 3) / 3), "a crash is nobody's vote"
    assert (large["ok_share"], small["ok_share"]) == pytest.approx((1, 2 / 3))
    assert (large["distinguishing_votes"], small["distinguishing_votes"]) == pytest.approx((2 / 3, 1 / 3))
    assert large["was_distinguished"] == 1
    assert large["log_inputs"] == math.log(4)


def test_readings_are_those_of_the_cluster_they_were_asked_for() -> None:
    three = [Drawn("a", (["1"],)), Drawn("b", (["2"],)), Drawn("c", (["3"],))]
    task = state(*three, votes=(3, 1))
    assert [of(task, f"c{i}")["reading_votes"] for i in range(3)] == [0.75, 0.25, 0]
    assert [of(task, f"c{i}")["was_read"] for i in range(3)] == [1, 1, 0]
    assert of(state(*three, votes=(0, 0)))["was_read"] == 0
    together = state(Drawn("a", (["1"],)), Drawn("b", (["1"],)), votes=(3, 0))
    assert of(together)["was_read"] == 0


def test_what_is_missing_has_an_indicator_and_no_sentinel() -> None:
    bare = of(state(Drawn("a", mean=None), examples=0, inputs=0))
    assert [bare[n] for n in ("has_examples", "has_logprob", "has_energy", "compared", "was_read")] == [0] * 5
    assert [bare[n] for n in ("task_logprob", "logprob_over", "energy", "log_inputs", "ok_share")] == [0] * 5
    same = (Drawn("a", (["1"],), energy=3.0), Drawn("bb", (["1"],), energy=2.0, mean=-0.5))
    task = state(*same, Drawn("cc", (["2"],), energy=0.5), Drawn("d", (["3"],)))
    full = of(task)
    assert [full[n] for n in ("has_examples", "has_logprob", "has_energy", "compared")] == [1] * 4
    assert (full["task_logprob"], full["logprob_over"]) == pytest.approx((-2.75 / 3, -0.75 + 2.75 / 3))
    energies = [(of(task, f"c{i}")["has_energy"], of(task, f"c{i}")["energy"]) for i in (0, 2, 3)]
    assert energies == [(1, 1.5), (1, 0), (0, 0)], "above the task's lowest"
    lengths = [math.log(2), math.log(3), math.log(2)]  # of the shortest of each cluster
    assert full["task_length"] == pytest.approx(sum(lengths) / 3)
    assert full["length_over"] == pytest.approx(math.log(2) - sum(lengths) / 3)


def test_no_survivor_and_one_program_are_told() -> None:
    partial = of(state(Drawn("a", passed=1), Drawn("b", passed=0), examples=2))
    assert (partial["no_survivor"], partial["one_program"], partial["examples_passed"]) == (1, 0, 0.5)
    alone = of(state(Drawn("a"), Drawn("a")))
    assert (alone["no_survivor"], alone["one_program"], alone["text_share"]) == (0, 1, 0.5)
