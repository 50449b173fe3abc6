"""The REST contracts of the lens's scoring routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from atlas.contracts import Contract, EnergyScore
from atlas.lens.energy import WeightsIdentity
from atlas.lens.surface import Surface
from atlas.span_embedding import Pooling, SpanEmbedding, TextEmbedding

MOST_SUBJECTS = 256
Subject = Annotated[SpanEmbedding | TextEmbedding | Surface, Field(discriminator="kind")]


class ScoreRequest(Contract):
    """What is known of a candidate of `model` (the name its server serves it under).

    `weights`: score with these and no others. Without, those for the model and the subject's kind.
    """

    model: str
    subject: Subject
    weights: str | None = None


class BatchRequest(Contract):
    """Candidates to be scored with the same weights, in one pass; all of one kind."""

    model: str
    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=MOST_SUBJECTS)
    weights: str | None = None


class BatchScores(Contract):
    """A score for each subject, in their order."""

    scores: tuple[EnergyScore, ...]


class EmbedRequest(Contract):
    """A text to be read once more, for a vector of the `reprefill` set. `pooling`: patched servers only."""

    text: str = Field(min_length=1, max_length=256_000)
    pooling: Pooling | None = None


class LoadedWeights(Contract):
    """Weights that are loaded. `scored`: energies they have given since this process began."""

    name: str
    file: str
    identity: WeightsIdentity
    scored: int
    card: bool


class LensStats(Contract):
    """What the lens has loaded and done. `unavailable` counts refusals by reason, `problems` are by file."""

    weights: tuple[LoadedWeights, ...]
    scored: int
    unavailable: dict[str, int]
    problems: dict[str, str]
