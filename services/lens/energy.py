"""Energies C(x) of candidates: the weights a task pinned, over what its journal knows. Says what it lacks.

The model itself is `atlas.lens.energy`. A score is an Energy named after its weights, or Unavailable with
the reason; never a number that stands for none.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from atlas.commands import Score
from atlas.contracts import Candidate, Energy, EnergyScore, Unavailable
from atlas.lens.api import LensStats, LoadedWeights
from atlas.lens.energy import EnergyModel
from atlas.lens.feature_set import FeatureVector
from atlas.lens.prompt_probe import speaks_of
from atlas.lens.surface import surface_of
from atlas.lens.table import Shelf, Table
from atlas.lens.vectors import vector_of
from atlas.span_embedding import SpanEmbedding
from atlas.worker import Context
from services.lens.drawn_spans import DrawnSpans

MOST_REASONS = 100  # kept apart in the statistics: reasons may quote names from requests


class Scorer:
    """Scores with the weights on a shelf, and counts. May be used from any thread."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.spans = DrawnSpans()
        self._lock = threading.Lock()
        self._scored: Counter[str] = Counter()
        self._unavailable: Counter[str] = Counter()

    @property
    def table(self) -> Table:
        """The weights as they are now."""
        return self._shelf.table

    def reload(self) -> Table:
        """Read the weights again, and put them in the place of the old at once."""
        return self._shelf.reload()

    def named(self, name: str) -> EnergyModel | None:
        """The weights of this name; looked for on the disk where they are not loaded."""
        return self.table.named(name) or self.reload().named(name)

    def energies(self, model: EnergyModel, vectors: Sequence[FeatureVector]) -> list[EnergyScore]:
        """Return the energies of vectors, in one pass.

        Raises:
            BadInput: a vector is of another feature set than the weights.
        """
        values = model.energies(vectors)
        with self._lock:
            self._scored[model.name] += len(vectors)
        return [Energy(value=float(value), weights=model.name) for value in values]

    def unavailable(self, reason: str) -> Unavailable:
        """Return that there is no score, and count why."""
        with self._lock:
            known = reason in self._unavailable or len(self._unavailable) < MOST_REASONS
            self._unavailable[reason if known else "other"] += 1
        return Unavailable(reason=reason)

    def stats(self) -> LensStats:
        """Return what is loaded, and what was scored since this process began."""
        table = self.table
        with self._lock:
            scored, unavailable = dict(self._scored), dict(self._unavailable)
        loaded = tuple(
            LoadedWeights(
                name=found.name,
                file=found.path.name,
                identity=found.identity,
                scored=scored.get(found.name, 0),
                card=found.card.is_file(),
            )
            for found in table.files
        )
        return LensStats(
            weights=loaded,
            scored=sum(scored.values()),
            unavailable=unavailable,
            problems=dict(table.problems),
        )


class Scored(NamedTuple):
    """A candidate's energy and, where its weights have a probe, what its prompt tells of the problem.

    `difficulty`: the chance that a first try fails, 0 to 1.
    """

    energy: EnergyScore
    difficulty: float | None = None


async def score(context: Context, scorer: Scorer, command: Score) -> Scored:
    """Score a task's candidate by the weights that the task pinned."""
    state = context.state
    name = state.task.pins.lens_weights
    if name is None:
        return Scored(scorer.unavailable(f"no lens weights for model '{state.task.pins.model}'"))
    model = scorer.named(name)
    if model is None:
        return Scored(scorer.unavailable(f"the task pinned lens weights '{name}', which are not here"))
    candidate = state.candidates.get(command.candidate)
    if candidate is None:
        return Scored(scorer.unavailable(f"the task has no candidate '{command.candidate}'"))
    features = model.identity.features
    if features.kind == "surface":
        return Scored(scorer.energies(model, [vector_of(surface_of(state, candidate))])[0])
    if features.kind == "reprefill":
        return Scored(scorer.unavailable("weights for 'reprefill' score what is sent to /v1/score alone"))
    span = await scorer.spans.of(context, candidate.id)
    if span is None:
        return Scored(scorer.unavailable("the candidate was drawn without its span embedding"))
    if span.n_embd != features.width:
        said = f"its span embedding has {span.n_embd} numbers, not {features.width}"
        return Scored(scorer.unavailable(said))
    energy = scorer.energies(model, [vector_of(span, features.parts)])[0]
    return Scored(energy, _difficulty(model, candidate, span))


def _difficulty(model: EnergyModel, candidate: Candidate, span: SpanEmbedding) -> float | None:
    probe = model.probe
    if probe is None or not speaks_of(candidate):
        return None
    return float(probe.failing(span.vector("prompt_last")[None])[0])
