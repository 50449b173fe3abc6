"""The calibrated selector: how likely a cluster of programs is right, by a logistic model of its features.

p = 1 / (1 + exp(-z)), z = intercept + sum of weight * (value - mean) / scale over the features, each held to
three deviations: what no fit has seen weighs no more than the farthest that one has. Logistic
regression maximises the likelihood of what it predicts, so that its probabilities seldom need calibrating
once more (Niculescu-Mizil and Caruana 2005), and a person can read what it weighs.

The weights are committed beside this module, with the command and the data that made them, and pinned by
their hash in every task. What a feature is, is said where it is computed (`services/lens/features.py`). The
fit takes features from the lens's REST endpoint, `POST /v1/select`, and so does whatever evaluates it: the
benchmark may not import services, and features computed twice would come to differ.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from atlas.contracts import Contract
from atlas.errors import ConfigError

MOST_DEVIATIONS = 3.0
WEIGHTS_FILE = Path(__file__).with_name("selector_weights.json")
FEATURES = (
    "examples_passed",
    "no_survivor",
    "size_share",
    "log_independent",
    "reading_lead",
    "logprob_over",
    "has_energy",
    "energy",
)


class FeatureWeight(Contract):
    """One feature's place in z: weight * (value - mean) / scale, within `MOST_DEVIATIONS`."""

    mean: FiniteFloat
    scale: FiniteFloat = Field(gt=0)
    weight: FiniteFloat


class Provenance(Contract):
    """Where weights come from. `data`: sha256 of each pool by name. `n_tasks` 0: set by hand, not fitted."""

    note: str = ""
    command: str = ""
    data: dict[str, str] = Field(default_factory=dict)
    models: tuple[str, ...] = ()
    n_tasks: int = Field(ge=0)
    n_clusters: int = Field(ge=0)
    date: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


class SelectorWeights(Contract):
    """The whole model. `contest_margin`: two clusters are a contest if their probabilities differ by less."""

    features: dict[str, FeatureWeight]
    intercept: FiniteFloat
    contest_margin: float = Field(default=0.25, ge=0, le=1)
    provenance: Provenance

    @model_validator(mode="after")
    def _has_every_feature(self) -> SelectorWeights:
        if unknown := sorted(self.features.keys() - set(FEATURES)):
            raise ValueError(f"no code computes the feature {', '.join(unknown)}")
        if lacking := [name for name in FEATURES if name not in self.features]:
            raise ValueError(f"there is no weight for the feature {', '.join(lacking)}")
        return self

    def probability(self, features: Mapping[str, float]) -> float:
        """Return the probability, between 0 and 1, that a cluster of these features is right.

        Raises:
            KeyError: if a feature is missing.
        """
        z = self.intercept
        for name, feature in self.features.items():
            deviations = (features[name] - feature.mean) / feature.scale
            z += feature.weight * max(-MOST_DEVIATIONS, min(deviations, MOST_DEVIATIONS))
        # Either form overflows on one side.
        return 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))


def load(path: Path = WEIGHTS_FILE) -> tuple[SelectorWeights, str]:
    """Return the weights of a file and the sha256 of its bytes.

    Raises:
        ConfigError: if it is no weights file, naming a feature that is unknown or missing.
    """
    content = path.read_bytes()
    try:
        weights = SelectorWeights.model_validate_json(content)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path.name} does not fit this version: {said}") from error
    return weights, hashlib.sha256(content).hexdigest()


SELECTOR, SELECTOR_SHA256 = load()
