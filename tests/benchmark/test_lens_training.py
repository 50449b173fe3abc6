"""Training: finds a planted direction, finds nothing in shuffled labels, and says so in its card."""

from __future__ import annotations

import builtins
import importlib.util
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from pool_dirs import Draw, write_pool

from atlas.errors import StartupError
from atlas.lens.card import Card
from atlas.lens.energy import WeightsIdentity, load, shapes, to_bytes
from atlas.lens.feature_set import FeatureSet
from atlas.lens.table import read_table
from atlas.lens.vectors import Drawing
from atlas.span_embedding import SpanEmbedding
from benchmark.lens_training import curve, data, network, ranking
from benchmark.lens_training.__main__ import main
from benchmark.lens_training.curve import learning_curve
from benchmark.lens_training.data import Rows, read_rows
from benchmark.lens_training.difficulty import difficulty, trained_probe
from benchmark.lens_training.evaluation import cross_fitted, evaluate, out_of_fold
from benchmark.lens_training.network import Pairs, import_torch, train
from benchmark.lens_training.rivals import linear_probe
from benchmark.selection.pools import PooledTask, load_pools
from benchmark.selection.spans import Spans
from benchmark.statistics.calibration import platt_of

torch_there = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="the extra lens-train is not installed"
)
WIDTH, TASKS, K = 16, 50, 6
FEATURES = FeatureSet(kind="span", parts=("mean",), width=WIDTH)
IDENTITY = WeightsIdentity(model="m", model_sha256="0" * 64, features=FEATURES)
MODEL = "qwen2.5-coder-0.5b"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer epochs and draws than in earnest: what is planted here is easily found."""
    monkeypatch.setattr(network, "MOST_EPOCHS", 20)
    monkeypatch.setattr(curve, "DRAWS", 1)
    monkeypatch.setattr(ranking, "RESAMPLES", 200)


def planted(tasks: int = TASKS, *, shuffled: bool = False, seed: int = 0) -> Rows:
    """Candidates that lie along a hidden direction; each task's own offset, along which nothing is told, is
    five times as large. `shuffled`: labels are dealt out anew within each task."""
    direction = np.random.default_rng(99).normal(size=WIDTH)
    direction /= np.linalg.norm(direction)
    chance = np.random.default_rng(seed)
    task = np.repeat(np.arange(tasks), K)
    offset = chance.normal(0, 5, (tasks, WIDTH))
    offset -= np.outer(offset @ direction, direction)
    merit = chance.normal(0, 1, tasks * K)
    right = merit > chance.normal(0, 0.3, tasks)[task]
    x = offset[task] + np.outer(3 * merit, direction) + chance.normal(0, 0.5, (tasks * K, WIDTH))
    if shuffled:
        for number in range(tasks):
            inside = task == number
            right[inside] = chance.permutation(right[inside])
    hard = chance.normal(0, 1, tasks)
    first = chance.permutation(hard > 0) if shuffled else hard > 0
    prompts = np.outer(hard, direction) * 2 + chance.normal(0, 0.5, (tasks, WIDTH))
    return Rows(
        features=FEATURES,
        x={"drawn": x.astype(np.float32)},
        right=right,
        task=task,
        tasks=tuple(f"t{i}" for i in range(tasks)),
        chars=chance.normal(100, 10, len(right)),
        logprob=chance.normal(-1, 0.1, len(right)),
        passed=right * 0.5,
        prompts=prompts.astype(np.float32),
        prompt_chars=chance.normal(500, 50, tasks),
        first=first,
        share=0.1 + 0.8 * first,
    )


@torch_there
def test_the_energy_finds_a_planted_direction_on_tasks_it_never_saw() -> None:
    rows = planted()
    scores, epochs = out_of_fold(rows, IDENTITY, seed=0)
    energies = scores["drawn"]["energy"]
    assert min(epochs) >= 1
    platt = platt_of(energies, rows.right)
    stated = cross_fitted(rows, energies, 0)
    found = evaluate(rows, "drawn", scores["drawn"], "folds", platt, stated)
    assert found.rankers["energy"].auc.value > 0.9
    assert found.rankers["energy"].auc.low > 0.8
    assert found.rankers["linear_probe"].auc.value > 0.9, "a direction is what a linear probe is good at"
    assert found.rankers["random"].auc.value == 0.5
    assert abs(found.rankers["length"].auc.value - 0.5) < 0.1
    both = found.rankers["length"].auc.value + found.rankers["longer"].auc.value
    assert both == pytest.approx(1), "one rule, either way"
    assert found.energy_minus["length"].low > 0
    assert found.mixed == len(rows.mixed) <= found.tasks == TASKS
    assert platt.slope < 0, "a higher energy is a lower probability"
    assert found.calibration.brier < found.calibration.brier_of_the_mean


@torch_there
def test_in_shuffled_labels_there_is_nothing_to_find() -> None:
    rows = planted(shuffled=True)
    scores, _ = out_of_fold(rows, IDENTITY, seed=0)
    energies = scores["drawn"]["energy"]
    found = evaluate(rows, "drawn", scores["drawn"], "folds", platt_of(energies, rows.right), energies * 0)
    for name in ("energy", "linear_probe", "boosted_trees"):
        assert abs(found.rankers[name].auc.value - 0.5) < 0.09, name


@torch_there
def test_more_tasks_teach_more_and_the_same_seed_gives_the_same_weights() -> None:
    rows = planted()
    points = learning_curve(rows, planted(30, seed=1), IDENTITY, "drawn", 0)
    assert [point.tasks for point in points] == sorted(point.tasks for point in points)
    assert points[-1].auc > points[0].auc - 0.02
    assert points[-1].auc > 0.85
    all_pairs = Pairs(rows.x["drawn"], rows.right, rows.task)
    one, two, other = train(all_pairs, 0), train(all_pairs, 0), train(all_pairs, 1)
    assert all((one.tensors[name] == two.tensors[name]).all() for name in one.tensors)
    assert (one.tensors["w1"] != other.tensors["w1"]).any()


def test_a_probe_cannot_train_on_tasks_that_are_all_right_or_all_wrong() -> None:
    rows = planted(4)
    all_right = Pairs(rows.x["drawn"], np.ones_like(rows.right), rows.task)
    with pytest.raises(ValueError, match="right and wrong"):
        linear_probe(all_right)


def test_the_prompts_state_tells_difficulty_where_it_does() -> None:
    train_rows, report = planted(100), planted(40, seed=1)
    probe = trained_probe(train_rows)
    told = difficulty(train_rows, report, probe)
    assert told["folds"].probe.value > 0.85
    assert told["report"].probe.value > 0.85
    assert told["report"].brier < told["report"].brier_of_the_mean
    assert abs(told["folds"].prompt_length.value - 0.5) < 0.2
    nothing = planted(100, shuffled=True)
    assert abs(difficulty(nothing, None, trained_probe(nothing))["folds"].probe.value - 0.5) < 0.2
    assert trained_probe(planted(6)) is None, "too few tasks for folds"
    assert difficulty(planted(6), None, None) == {}


def test_the_kept_probe_says_what_the_trained_one_said(tmp_path: Path) -> None:
    rows = planted(100)
    probe = trained_probe(rows)
    assert probe is not None
    assert rows.prompts is not None
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes(WIDTH).items()}
    (tmp_path / "w.safetensors").write_bytes(to_bytes(IDENTITY, tensors | probe.tensors()))
    kept = load(tmp_path / "w.safetensors").probe
    assert kept is not None
    assert kept.failing(rows.prompts).tolist() == probe.failing(rows.prompts).tolist()


def test_without_pytorch_the_message_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: object, **kwargs: object) -> object:
        if name == "torch":
            raise ImportError("no torch")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(StartupError, match=r"pip install 'atlas\[lens-train\]'"):
        import_torch()


def pool(directory: Path, tasks: int, *, seed: int, prefix: str = "t") -> Path:
    """A pool in which the likelier programs are right."""
    rolls = random.Random(seed)
    drawn = {}
    for number in range(tasks):
        draws = []
        for i in range(4):
            right = i == 0 or (rolls.random() < 0.4 and i != 3)
            logprob = rolls.gauss(-0.2 if right else -1.5, 0.05)
            draws.append(Draw(f"{number} {i}", right=right, logprob=min(0.0, logprob)))
        drawn[f"{prefix}{number}"] = draws
    return write_pool(directory, drawn, model=MODEL)


@torch_there
def test_the_command_writes_weights_and_a_card_that_the_lens_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = [str(pool(tmp_path / f"train-{i}", 12, seed=i, prefix=f"t{i}-")) for i in (1, 2)]
    report = [str(pool(tmp_path / f"report-{i}", 6, seed=i, prefix=f"r{i}-")) for i in (3, 4)]
    out = tmp_path / "lens"
    asked = [*slices, "--report", report[0], "--report", report[1], "--out", str(out), "--json"]
    assert main(asked) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = read_table([out])
    assert not table.problems
    (found,) = table.files
    assert found.name == result["name"]
    assert found.identity.features.kind == "surface"
    card = Card.model_validate_json(found.card.read_bytes())
    assert (card.weights, card.identity) == (found.name, found.identity)
    assert card.bytes == found.path.stat().st_size
    names = {"train-1", "train-2", "report-3", "report-4"}
    assert (card.train_tasks, card.train_candidates, set(card.data)) == (24, 96, names)
    where = [(each.tasks_by, each.stage) for each in card.evaluations]
    assert where == [(by, stage) for by in ("folds", "report") for stage in ("drawn", "run", "compared")]
    assert card.identity.auc == card.evaluations[0].rankers["energy"].auc.value
    measured = card.evaluations[3]
    assert measured.tasks == 12
    assert measured.rankers["energy"].auc.value > 0.75
    assert "examples" not in measured.rankers, "before anything was run nobody knows"
    assert "examples" in card.evaluations[4].rankers
    assert card.learning_curve[-1].tasks == card.train_mixed
    assert card.difficulty == {}
    text = found.card.with_suffix(".md").read_text()
    assert found.name in text
    assert f"{measured.rankers['energy'].auc.value:.3f}" in text
    assert found.path.with_suffix(".svg").read_text().startswith("<svg")
    assert load(found.path).tensors["w1"].shape == (found.identity.features.dimension, 512)


def test_candidates_whose_span_is_not_known_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = SpanEmbedding.of(np.arange(24.0).reshape(3, 8))

    class Half(Spans):
        """Knows every second one."""

        asked = 0

        def of(self, task: PooledTask, drawing: Drawing | None) -> SpanEmbedding | None:
            self.asked += 1
            return kept if self.asked % 2 else None

    monkeypatch.setattr(data, "Spans", Half)
    rows = read_rows(load_pools([pool(tmp_path, 3, seed=0)]), "span", ("mean",))
    assert (len(rows.right), rows.left_out, rows.x["drawn"].shape) == (6, 6, (6, 8))
    assert rows.share is not None
    assert 0 < rows.share[0] < 1, "of all the task's candidates, those left out too"


@torch_there
def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = pool(tmp_path / "small", 6, seed=0)
    (tmp_path / "kept.txt").write_text("t3\n")
    out = ["--out", str(tmp_path / "lens"), "--no-curve"]

    def refused(*argv: str) -> str:
        assert main([*argv, *out]) == 1
        return " ".join(capsys.readouterr().err.split())

    assert "6 tasks have right and wrong candidates" in refused(str(small))
    assert "first: t3" in refused(str(small), "--not-in", str(tmp_path / "kept.txt"))
    assert "to train on and to report on" in refused(str(small), "--report", str(small))
    assert "has a span embedding" in refused(str(small), "--features", "span")
    stranger = write_pool(tmp_path / "stranger", {"t": [Draw("a", right=True), Draw("b")]}, model="stranger")
    assert "sha256 of 'stranger'" in refused(str(stranger))
    other = write_pool(tmp_path / "other", {"o": [Draw("a")]}, model="qwen2.5-coder-1.5b")
    assert "for one model" in refused(str(small), str(other))
    assert not (tmp_path / "lens").exists()


def test_unknown_parts_are_wrong_usage() -> None:
    for parts in ("mean,first", "mean,mean", ""):
        with pytest.raises(SystemExit) as exit_:
            main(["p", "--features", "span", "--parts", parts])
        assert exit_.value.code == 2
