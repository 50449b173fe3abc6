"""Fitting the selector: finds what tells right clusters, is judged on other tasks, refuses kept-out ones."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pool_dirs import Draw, write_pool
from scipy.special import expit

from atlas.errors import BadInput
from atlas.selector import FEATURES, Provenance, load
from benchmark.datasets.id_lists import refuse
from benchmark.fit_selector import main
from benchmark.results import digests
from benchmark.selection.fit import (
    DIRECTIONS,
    FOLDS,
    STRENGTHS,
    Rows,
    chosen,
    fit,
    out_of_fold,
    strongest,
)
from benchmark.selection.pools import load_pools

NOBODY = Provenance(n_tasks=0, n_clusters=0)


def data(tasks: int = 120, *, signal: float = 2.0) -> Rows:
    """Two clusters a task; the first feature tells the right one as far as `signal` goes."""
    noise = np.random.default_rng(0)
    y = noise.integers(0, 2, 2 * tasks)
    x = noise.normal(size=(2 * tasks, len(FEATURES)))
    x[:, 0] += signal * y
    x[:, 1] = 7.0  # the same everywhere: it tells nothing
    task = np.repeat(np.arange(tasks), 2)
    return Rows(x, y, task, np.full(2 * tasks, 0.5), choice=task)


def test_the_fit_finds_what_tells_right_from_wrong() -> None:
    found = fit(data(), NOBODY).weights
    weights = {name: feature.weight for name, feature in found.features.items()}
    assert max(weights, key=lambda name: abs(weights[name])) == FEATURES[0]
    assert weights[FEATURES[0]] > 0
    assert weights[FEATURES[1]] == 0
    assert found.provenance.n_tasks == 120
    low, high = (dict.fromkeys(FEATURES, 0.0) | {FEATURES[0]: v} for v in (-1.0, 3.0))
    assert found.probability(low) < 0.5 < found.probability(high)


def test_no_feature_counts_against_what_it_stands_for() -> None:
    """What tells right from wrong, but the wrong way round, is left out; the others are as without it."""
    told = data()
    turned = told.x.copy()
    turned[:, FEATURES.index("size_share")] -= 2.0 * told.y
    found = fit(replace(told, x=turned), NOBODY).weights.features
    assert found["size_share"].weight == 0
    assert found[FEATURES[0]].weight > 0
    assert all(DIRECTIONS.get(name, 0) * each.weight >= 0 for name, each in found.items())


def test_its_figures_are_of_tasks_it_was_not_fitted_to() -> None:
    """Labels that nothing tells: a model judged on its own tasks would look better than luck."""
    nothing = data(signal=0.0)
    figures = fit(nothing, NOBODY).metrics
    luck = chosen(nothing, np.full(len(nothing.y), nothing.y.mean()))
    assert figures["brier"] > luck["brier"] - 0.02
    assert figures["log_loss"] > 0.68
    told = data(signal=4.0)
    assert fit(told, NOBODY).metrics["accuracy"] > chosen(told, np.full(len(told.y), 0.5))["accuracy"]
    assert out_of_fold(told, 1.0).shape == (240,)


def test_the_fit_is_as_strong_as_what_is_known_allows() -> None:
    told = data(signal=3.0)
    assert strongest(data(signal=0.0)) == min(STRENGTHS), "nothing is known"
    strength = strongest(told)
    assert min(STRENGTHS) < strength < max(STRENGTHS)
    shrunk = chosen(told, expit(out_of_fold(told, strength)))["ece"]
    assert fit(told, NOBODY).metrics["ece"] < shrunk, "its log odds are scaled on tasks left out"


def test_labels_that_are_all_the_same_or_too_few_tasks_are_refused() -> None:
    few = data(FOLDS - 1)
    with pytest.raises(ValueError, match=f"at least {FOLDS} tasks"):
        fit(few, NOBODY)
    same = data()
    with pytest.raises(ValueError, match="right and wrong"):
        fit(Rows(same.x, np.ones_like(same.y), same.task, same.weight, same.choice), NOBODY)


def test_tasks_that_are_kept_out_are_refused(tmp_path: Path) -> None:
    tasks = load_pools([write_pool(tmp_path / "p", {"t1": [Draw("a")], "t2": [Draw("b")]})])
    (tmp_path / "splits.json").write_text(json.dumps({"report": ["t2"], "train": ["t1"]}))
    names = {task.task for task in tasks}
    refuse(names, [])
    with pytest.raises(BadInput, match=r"1 tasks of these pools are in .*first: t2"):
        refuse(names, [f"{tmp_path}/splits.json#report"])


def test_pools_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one = write_pool(tmp_path / "a" / "train", {"t1": [Draw("a")]})
    two = write_pool(tmp_path / "b" / "train", {"t2": [Draw("b")]})
    other = write_pool(tmp_path / "more", {"t3": [Draw("b")]})
    assert set(digests([one, two, other], grades=True)) == {str(one), str(two), "more"}
    assert len(set(digests([one, two, other], grades=True).values())) == 3


@pytest.mark.integration
def test_the_command_writes_weights_with_their_provenance(tmp_path: Path) -> None:
    rolls = random.Random(0)
    tasks = {}
    for number in range(30):
        outputs = rolls.sample(["a", "b", "c"], 2)
        best = [Draw(outputs[0], right=rolls.random() < 0.8) for _ in range(3)]
        tasks[f"t{number}"] = [*[best[0]] * 3, Draw(outputs[1], right=rolls.random() < 0.3)]
    pool = write_pool(tmp_path / "pool", tasks)
    assert main([str(pool), "--out", str(tmp_path / "weights.json")]) == 0
    weights, _ = load(tmp_path / "weights.json")
    assert weights.provenance.n_tasks == 30
    assert weights.provenance.models == ("m",)
    assert set(weights.provenance.data) == {"pool", "ids"}
    assert weights.features["size_share"].weight > 0
    assert weights.provenance.metrics["accuracy"] > 0.5
