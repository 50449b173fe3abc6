"""Energies for recorded pools: as the lens would give them, told beside choosing without, and out of fold."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from pool_dirs import Draw, write_pool

from atlas.catalogue import CATALOGUE
from atlas.contracts import Energy
from atlas.events import CandidateGenerated
from atlas.lens.surface import STAGES, SURFACE, surface_of
from atlas.lens.vectors import vector_of
from atlas.selection_api import Selection
from atlas.state import TaskState, fold
from benchmark.lens_training import cross_scoring, network
from benchmark.lens_training.cross_scoring import cross_scored
from benchmark.selection import fit
from benchmark.selection.energies import scored, weights_of, with_energies
from benchmark.selection.lens import Lens
from benchmark.selection.pools import PooledTask, load_pools
from benchmark.selection.selectors import score
from benchmark.selection.summary import summarise
from services.lens.routes import router
from tests.support.lens_weights import span_set, surface_set, write_weights
from tests.support.selector_weights import weigh

MODEL = "qwen2.5-coder-0.5b"
SHA = str(CATALOGUE[MODEL].sha256)
# Two programs of equal merit to all that a selector sees, but for the longer one's energy.
TASKS = {
    "long": [Draw("wrong, and longer", logprob=-0.5), Draw("right", right=True, logprob=-0.5)],
    "short": [Draw("wrong", logprob=-0.5), Draw("right, and longer", right=True, logprob=-0.5)],
}


@pytest.fixture
def lens() -> Lens:
    app = FastAPI()
    app.include_router(router)
    return Lens("http://lens", transport=httpx.ASGITransport(app=app))


def pool(directory: Path, tasks: int, seed: int = 0) -> Path:
    """A pool in which the likelier programs are right."""
    rolls = random.Random(seed)
    drawn = {}
    for number in range(tasks):
        right = [True, False, *(rolls.random() < 0.5 for _ in range(2))]
        means = [rolls.gauss(-0.2 if each else -1.5, 0.05) for each in right]
        drawn[f"t{number}"] = [
            Draw(f"{number} {i}", right=each, logprob=min(0.0, mean))
            for i, (each, mean) in enumerate(zip(right, means, strict=True))
        ]
    return write_pool(directory, drawn, model=MODEL)


def test_candidates_are_scored_by_what_the_lens_would_have_seen(tmp_path: Path) -> None:
    tasks = load_pools([write_pool(tmp_path / "p", TASKS, model=MODEL)])
    file = write_weights(
        tmp_path / "w.safetensors", surface_set(), sha256=SHA, feature=SURFACE.index("log_chars")
    )
    weights = weights_of([file])
    for task, found in zip(tasks, scored(tasks, weights), strict=True):
        assert found is not None
        assert [c.code for c in found.candidates] == [c.code for c in task.candidates]
        state = fold(TaskState(), task.entries)
        for candidate in found.candidates:
            assert isinstance(candidate.energy, Energy)
            vector = vector_of(surface_of(state, state.candidates[candidate.id], "run"))
            assert candidate.energy.value == pytest.approx(float(weights[0].energies([vector])[0]))
            assert candidate.energy.weights == weights[0].name
            assert fold(TaskState(), found.entries).candidates[candidate.id].energy == candidate.energy
        longest = max(found.candidates, key=lambda c: len(c.code or ""))
        assert max(found.candidates, key=lambda c: c.energy.value) is longest  # type: ignore[union-attr]


def test_without_weights_for_the_model_or_spans_there_are_no_energies(tmp_path: Path) -> None:
    tasks = load_pools([write_pool(tmp_path / "p", TASKS, model=MODEL)])
    other = write_weights(tmp_path / "other.safetensors", surface_set())
    spans = write_weights(tmp_path / "s.safetensors", span_set(), sha256=SHA)
    surface = write_weights(tmp_path / "f.safetensors", surface_set(), sha256=SHA)
    assert scored(tasks, weights_of([other])) == [None, None]
    assert scored(tasks, weights_of([spans])) == [None, None]
    weights = weights_of([surface, spans])
    assert [w.identity.features.kind for w in weights] == ["span", "surface"], "as a task chooses"
    assert all(scored(tasks, weights)), "where spans were not kept, the other set"


async def test_the_summary_says_what_energies_add_paired(
    tmp_path: Path, lens: Lens, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh(monkeypatch, energy=-1.0)
    tasks = load_pools([write_pool(tmp_path / "p", TASKS, model=MODEL)])

    async def summary(energy_of_right: float | None) -> object:
        found = []
        for task in tasks:
            energies = {c: energy_of_right or 0 if right else 5.0 for c, right in task.right.items()}
            known = None if energy_of_right is None else with_energies(task, energies, "w")
            found.append(await score(lens, task, known))
        return summarise(found, {MODEL: ("w",)})

    nothing, told, misled = [await summary(energy) for energy in (None, 0.5, 9.0)]
    assert nothing.energy is None  # type: ignore[attr-defined]
    best, worst = told.energy, misled.energy  # type: ignore[attr-defined]
    assert best.n_tasks == worst.n_tasks == 2
    assert best.weights == {MODEL: ("w",)}
    examples = best.selectors["examples"]
    assert (examples.without, examples.accuracy, examples.difference) == (0.5, 1.0, 0.5)
    assert (examples.recovered_without, examples.recovered, examples.recovered_difference) == (0, 1, 1)
    assert worst.selectors["examples"].accuracy == 0
    full = best.selectors["full"]
    assert full.without == told.selectors["full"].accuracy  # type: ignore[attr-defined]
    assert full.accuracy == 1.0
    assert worst.selectors["full"].accuracy == 0
    assert full.interval[0] <= full.difference <= full.interval[1]
    same = [await score(lens, task, task) for task in tasks]
    nowhere = summarise(same).energy
    assert nowhere is not None
    low, high = nowhere.selectors["full"].recovered_interval or (0, 0)
    assert (nowhere.selectors["full"].recovered_difference, low < 0 < high) == (0, True), "no certainty"
    await lens.aclose()


def answered(task: PooledTask, energies: bool) -> Selection:
    """A lens's answer about a task of two clusters, which nothing but energy tells apart."""
    features = dict.fromkeys(fit.FEATURES, 0.0) | {"has_energy": float(energies)}
    clusters = [
        {
            "candidates": (c.id,),
            "program": c.id,
            "probability": 0.5,
            "features": features | {"energy": float(energies and not task.right[c.id])},
        }
        for c in task.candidates
    ]
    decision = {
        "type": "TaskDecided",
        "command": "select",
        "candidate": task.candidates[0].id,
        "evidence": {
            "basis": "not_executed",
            "public_passed": 0,
            "public_total": 0,
            "candidates": 2,
            "survivors": 0,
        },
    }
    return Selection.model_validate({"decision": decision, "clusters": clusters})


def test_the_fit_weighs_a_task_once_with_energies_and_without(tmp_path: Path) -> None:
    tasks = load_pools([write_pool(tmp_path / "p", {f"t{i}": TASKS["long"] for i in range(20)}, model=MODEL)])
    both = fit.rows([(task, answered(task, energies)) for energies in (False, True) for task in tasks])
    assert both.weight.sum() == pytest.approx(len(tasks))
    assert len(np.unique(both.task)) == len(tasks), "in one fold, with energies and without"
    assert len(np.unique(both.choice)) == 2 * len(tasks)
    found = fit.fit(both, fit.Provenance(n_tasks=0, n_clusters=0))
    weights = found.weights
    assert found.metrics["accuracy_with_energies"] == 1.0
    assert found.metrics["accuracy_without"] < 1.0
    assert weights.features["energy"].weight < 0
    without = dict.fromkeys(fit.FEATURES, 0.0)
    assert weights.probability(without) == pytest.approx(0.5, abs=0.1), "what has no energy is not favoured"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the extra lens-train is not installed")
def test_training_tasks_are_scored_by_weights_that_never_saw_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "MOST_EPOCHS", 20)
    tasks = load_pools([pool(tmp_path / "a", 12), write_pool(tmp_path / "b", TASKS, model=MODEL)])
    seen: list[int] = []
    real = cross_scoring.train

    def counted(data: network.Pairs, seed: int, *, task_of: object = None) -> network.Trained:
        seen.append(len(np.unique(data.group)))
        return real(data, seed, task_of=task_of)  # type: ignore[arg-type]

    monkeypatch.setattr(cross_scoring, "train", counted)
    found = cross_scored(tasks, "surface")
    assert [task.task for task in found] == [task.task for task in tasks]
    assert len(seen) == 5
    assert max(seen) < len(STAGES) * len(tasks), "no fold is trained on all tasks, of any stage"
    energies = {(t.task, c.id): c.energy for t in found for c in t.candidates}
    assert all(isinstance(energy, Energy) for energy in energies.values())
    events = [e.event for e in found[0].entries if isinstance(e.event, CandidateGenerated)]
    assert [event.candidate.energy for event in events] == [c.energy for c in found[0].candidates]
    better = [
        np.mean([c.energy.value for c in t.candidates if t.right[c.id]])  # type: ignore[union-attr]
        < np.mean([c.energy.value for c in t.candidates if not t.right[c.id]])  # type: ignore[union-attr]
        for t in found
        if t.pool.name == "a"
    ]
    assert np.mean(better) > 0.7
