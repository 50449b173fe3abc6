"""The selector's weights: whole or refused, pinned by their bytes, and probabilities that are ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import ConfigError
from atlas.selector import FEATURES, MOST_DEVIATIONS, SELECTOR, SELECTOR_SHA256, WEIGHTS_FILE, load

VALUES = st.fixed_dictionaries({name: st.floats(-1e6, 1e6) for name in FEATURES})


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(json.loads(WEIGHTS_FILE.read_text()) | changes))
    return path


def test_the_shipped_weights_are_whole_and_known_by_their_bytes() -> None:
    assert load() == (SELECTOR, SELECTOR_SHA256)
    assert hashlib.sha256(WEIGHTS_FILE.read_bytes()).hexdigest() == SELECTOR_SHA256
    assert set(SELECTOR.features) == set(FEATURES)
    assert len(set(FEATURES)) == len(FEATURES)


def test_weights_say_where_they_come_from() -> None:
    came = SELECTOR.provenance
    if came.n_tasks == 0:
        assert "not fitted" in came.note
    else:
        assert came.command
        assert came.data
        assert came.n_clusters >= came.n_tasks


def test_a_feature_unknown_or_missing_is_named(tmp_path: Path) -> None:
    features = json.loads(WEIGHTS_FILE.read_text())["features"]
    with pytest.raises(ConfigError, match="no code computes the feature horoscope"):
        load(written(tmp_path, features=features | {"horoscope": features["energy"]}))
    with pytest.raises(ConfigError, match="no weight for the feature energy"):
        load(written(tmp_path, features={k: v for k, v in features.items() if k != "energy"}))


@pytest.mark.parametrize("changes", [{"intercept": "x"}, {"contest_margin": 2}, {"features": 1}, {"more": 1}])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        load(written(tmp_path, **changes))


@given(VALUES)
def test_probabilities_are_probabilities(values: dict[str, float]) -> None:
    assert 0 <= SELECTOR.probability(values) <= 1


@given(VALUES, st.sampled_from(FEATURES), st.floats(0, 100))
def test_more_of_a_feature_speaks_the_way_its_weight_says(
    values: dict[str, float], name: str, more: float
) -> None:
    raised = SELECTOR.probability(values | {name: values[name] + more})
    before = SELECTOR.probability(values)
    weight = SELECTOR.features[name].weight
    assert raised >= before or weight < 0 or before - raised < 1e-9
    assert raised <= before or weight > 0 or raised - before < 1e-9


def test_the_logistic_model_is_what_is_written() -> None:
    means = {name: feature.mean for name, feature in SELECTOR.features.items()}
    flat = SELECTOR.model_copy(update={"intercept": 0.0})
    assert flat.probability(means) == 0.5
    with pytest.raises(KeyError):
        flat.probability({})


@given(VALUES, st.sampled_from(FEATURES), st.floats(MOST_DEVIATIONS, 1e6))
def test_what_is_beyond_all_that_a_fit_saw_weighs_no_more(
    values: dict[str, float], name: str, deviations: float
) -> None:
    of = SELECTOR.features[name]
    far, farthest = (values | {name: of.mean + by * of.scale} for by in (deviations, MOST_DEVIATIONS))
    assert SELECTOR.probability(far) == pytest.approx(SELECTOR.probability(farthest), abs=1e-9)
