"""Energies for candidates of a recorded pool, offline: as if its tasks had had these weights.

A pool is drawn without the Lens. Its candidates are scored here from what the lens would have scored them by
(their spans, or what is known when each has been run), and the energies stand in the journal as if the lens
had put them there. No label is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atlas.catalogue import CATALOGUE
from atlas.contracts import Energy
from atlas.errors import BadInput
from atlas.events import CandidateGenerated, Entry
from atlas.lens.energy import EnergyModel, load
from atlas.lens.feature_set import FeatureVector
from atlas.lens.surface import surface_of
from atlas.lens.table import SHIPPED, find, preference
from atlas.lens.vectors import drawings, vector_of
from atlas.state import TaskState, fold
from benchmark.pack_pool import samples_of
from benchmark.recorded.recording import read_recording
from benchmark.selection.pools import PooledTask
from benchmark.selection.spans import Spans


def weights_of(files: Sequence[Path]) -> tuple[EnergyModel, ...]:
    """Load weights files; without any, those that ship. Of two for one model a task's comes first.

    Raises:
        ConfigError: a file holds no weights of this version.
    """
    shipped = [found.path for found in find([SHIPPED])[0]]
    return tuple(sorted(map(load, files or shipped), key=lambda each: preference(each.identity)))


def model_sha256(pool: Path, model: str) -> str | None:
    """Return the sha256 of the GGUF that a pool was drawn from; None where nothing tells it.

    Raises:
        InfrastructureError: what the pool was drawn from cannot be read.
    """
    recording = read_recording(samples_of(pool))
    pinned = CATALOGUE[model].sha256 if model in CATALOGUE else None
    return (recording.model_sha256 if recording else "") or pinned


def models_of(tasks: Sequence[PooledTask]) -> dict[tuple[Path, str], str | None]:
    """Return `model_sha256` by pool and model of the tasks; each pool is looked at once.

    Raises:
        InfrastructureError: as there.
    """
    return {each: model_sha256(*each) for each in sorted({(task.pool, task.model) for task in tasks})}


def with_energies(task: PooledTask, energies: Mapping[str, float], weights: str) -> PooledTask:
    """Return the task as if its candidates had been scored with these energies, by candidate."""

    def scored(entry: Entry) -> Entry:
        event = entry.event
        if not isinstance(event, CandidateGenerated) or event.candidate.id not in energies:
            return entry
        energy = Energy(value=energies[event.candidate.id], weights=weights)
        candidate = event.candidate.model_copy(update={"energy": energy})
        return entry.model_copy(update={"event": event.model_copy(update={"candidate": candidate})})

    entries = tuple(map(scored, task.entries))
    known = {
        e.event.candidate.id: e.event.candidate for e in entries if isinstance(e.event, CandidateGenerated)
    }
    return replace(task, entries=entries, candidates=tuple(known[c.id] for c in task.candidates))


def scored(tasks: Sequence[PooledTask], weights: Sequence[EnergyModel]) -> list[PooledTask | None]:
    """Return each task with the energies of its candidates' programs.

    None for a task whose model has no weights, or whose spans were not kept where they are needed.

    Raises:
        BadInput: a vector is of another feature set than the weights.
        InfrastructureError: a pool's samples cannot be read.
    """
    sha256 = models_of(tasks)
    with Spans() as spans:
        found: list[PooledTask | None] = []
        for task in tasks:
            fitting = [w for w in weights if w.identity.model_sha256 == sha256[task.pool, task.model]]
            each = (_scored(task, model, spans) for model in fitting)
            found.append(next((known for known in each if known is not None), None))
    return found


def _scored(task: PooledTask, model: EnergyModel, spans: Spans) -> PooledTask | None:
    vectors = _vectors(task, model, spans)
    if vectors is None:
        return None
    values = model.energies(list(vectors.values())).tolist()
    return with_energies(task, dict(zip(vectors, values, strict=True)), model.name)


def _vectors(task: PooledTask, model: EnergyModel, spans: Spans) -> dict[str, FeatureVector] | None:
    """The vectors of the candidates that hold a program; None where one has no span."""
    features = model.identity.features
    programs = [c for c in task.candidates if c.code is not None]
    if features.kind == "surface":
        state = fold(TaskState(), task.entries)
        return {c.id: vector_of(surface_of(state, c, "run")) for c in programs}
    if features.kind != "span":
        raise BadInput(f"weights for '{features.kind}' score what is sent to the lens alone")
    made = drawings(entry.event for entry in task.entries)
    found = {}
    for candidate in programs:
        span = spans.of(task, made.get(candidate.id))
        if span is None:
            return None
        found[candidate.id] = vector_of(span, features.parts)
    return found
