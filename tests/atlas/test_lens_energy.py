"""C(x): what numpy computes, what a file holds, and that vectors of different sets never meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import BadInput, ConfigError
from atlas.lens.energy import CLIP, EnergyModel, WeightsIdentity, load, read_identity, shapes, to_bytes
from atlas.lens.feature_set import FeatureSet, FeatureVector
from atlas.lens.surface import SURFACE, Surface
from atlas.lens.vectors import feature_set_of, vector_of
from atlas.span_embedding import TextEmbedding
from tests.support.lens_weights import SHA, WIDTH, span, span_set, surface_set, write_weights


def random_model(features: FeatureSet, seed: int = 0) -> EnergyModel:
    chance = np.random.default_rng(seed)
    tensors = {
        name: chance.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes(features.dimension).items()
    }
    tensors["scale"] = np.abs(tensors["scale"]) + 0.5
    return EnergyModel(WeightsIdentity(model="m", model_sha256=SHA, features=features), "n", tensors)


def rows(n: int, d: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (n, d)).astype(np.float32)


def test_the_energy_is_the_network_that_is_described() -> None:
    """Against the formulas written out in float64, one number at a time."""
    model = random_model(span_set())
    x = rows(5, 2 * WIDTH)
    t = {name: value.astype(float) for name, value in model.tensors.items()}

    def silu(v: np.ndarray) -> np.ndarray:
        return v / (1 + np.exp(-v))

    for row, energy in zip(x, model.of_rows(x), strict=True):
        h = silu(np.clip((row - t["mean"]) / t["scale"], -CLIP, CLIP) @ t["w1"] + t["b1"])
        h = silu(h @ t["w2"] + t["b2"])
        assert energy == pytest.approx(float(np.log1p(np.exp(h @ t["w3"] + t["b3"]))[0]), rel=1e-4)


@given(
    st.lists(
        st.lists(st.floats(-6e4, 6e4, width=16), min_size=2 * WIDTH, max_size=2 * WIDTH),
        min_size=1,
        max_size=4,
    )
)
def test_energies_are_finite_and_not_negative_whatever_a_server_sends(values: list[list[float]]) -> None:
    model = random_model(span_set())
    vectors = [FeatureVector(span_set(), np.asarray(row, np.float32)) for row in values]
    energies = model.energies(vectors)
    assert np.isfinite(energies).all()
    assert (energies >= 0).all()
    alone = [float(model.energies([vector])[0]) for vector in vectors]
    assert energies == pytest.approx(alone, rel=1e-3, abs=1e-3), "a batch gives what each gives alone"


def test_no_vectors_have_no_energies() -> None:
    assert random_model(span_set()).energies([]).shape == (0,)


def test_vectors_of_different_sets_never_meet() -> None:
    model = random_model(span_set())
    x = np.zeros(2 * WIDTH, np.float32)
    assert model.energies([FeatureVector(span_set(), x)]).shape == (1,)
    others = [
        span_set(parts=("last", "mean")),
        FeatureSet(kind="reprefill", parts=("mean", "last"), width=WIDTH),
        FeatureSet(kind="span", version=2, parts=("mean", "last"), width=WIDTH),
        FeatureSet(kind="span", parts=("mean",), width=2 * WIDTH),
    ]
    for other in others:
        assert other.dimension == 2 * WIDTH, "as many numbers, and yet refused"
        with pytest.raises(BadInput, match="cannot score"):
            model.energies([FeatureVector(span_set(), x), FeatureVector(other, x)])


def test_a_vector_is_of_its_sets_shape_and_finite() -> None:
    with pytest.raises(BadInput, match="shape"):
        FeatureVector(span_set(), np.zeros(3, np.float32))
    with pytest.raises(BadInput, match="not a number"):
        FeatureVector(span_set(), np.full(2 * WIDTH, np.nan, np.float32))


def test_what_a_thing_is_decides_its_set() -> None:
    of_span = vector_of(span(1, 2, 3, 4, last=5, prompt=6))
    assert of_span.values.tolist() == [1, 2, 3, 4, 5, 5, 5, 5, 6, 6, 6, 6]
    assert of_span.features.parts == ("mean", "last", "prompt_last")
    assert vector_of(span(1, 2, 3, 4, prompt=6), ("prompt_last",)).values.tolist() == [6, 6, 6, 6]
    with pytest.raises(BadInput, match="no part 'first'"):
        vector_of(span(1, 2), ("first",))
    text = TextEmbedding.of([1, 2, 3, 4], "mean")
    assert feature_set_of(text).kind == "reprefill"
    assert vector_of(text).values.tolist() == [1, 2, 3, 4]
    assert feature_set_of(text) != feature_set_of(TextEmbedding.of([1, 2, 3, 4], "last"))
    values = {name: float(i) for i, name in enumerate(SURFACE)}
    assert vector_of(Surface(values=values)).values.tolist() == list(range(len(SURFACE)))


def test_a_file_comes_back_as_it_was_but_for_float16(tmp_path: Path) -> None:
    model = random_model(span_set())
    path = tmp_path / "w.safetensors"
    path.write_bytes(to_bytes(model.identity, model.tensors))
    back = load(path)
    assert back.identity == model.identity
    assert read_identity(path) == (back.identity, back.name)
    assert back.name.startswith("span:")
    x = rows(20, 2 * WIDTH)
    assert back.of_rows(x) == pytest.approx(model.of_rows(x), rel=2e-2, abs=2e-3)
    assert {t.dtype for t in back.tensors.values()} == {np.dtype(np.float32)}
    write_weights(tmp_path / "x.safetensors", surface_set())
    assert load(tmp_path / "x.safetensors").name.startswith("surface:")


def test_weights_of_1536_hidden_numbers_and_three_parts_stay_under_5_mb() -> None:
    features = span_set(1536, ("mean", "last", "prompt_last"))
    model = random_model(features)
    assert len(to_bytes(model.identity, model.tensors)) < 5_000_000


def test_what_does_not_fit_is_not_written() -> None:
    model = random_model(span_set())
    with pytest.raises(ValueError, match="w1"):
        to_bytes(model.identity, {**model.tensors, "w1": model.tensors["w1"] * 1e9})
    with pytest.raises(ValueError, match="b2"):
        to_bytes(model.identity, {**model.tensors, "b2": np.zeros(3, np.float32)})


@pytest.mark.parametrize("cut", [0, 4, 100, -10])
def test_a_file_that_is_not_whole_is_refused_with_its_name(tmp_path: Path, cut: int) -> None:
    path = write_weights(tmp_path / "w.safetensors", span_set())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ConfigError, match=r"w\.safetensors"):
        load(path)


def test_another_version_of_a_set_is_refused(tmp_path: Path) -> None:
    newer = FeatureSet(kind="span", version=2, parts=("mean",), width=WIDTH)
    path = write_weights(tmp_path / "w.safetensors", newer)
    with pytest.raises(ConfigError, match="version 1"):
        load(path)
