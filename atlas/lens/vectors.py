"""Vectors of each feature set, and which choice of which call each candidate of a journal came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

import numpy as np

from atlas.errors import BadInput
from atlas.events import AnyEvent, CandidateGenerated, Choice, ModelCallFinished
from atlas.lens.feature_set import KIND_VERSIONS, FeatureSet, FeatureVector
from atlas.lens.surface import SURFACE, Surface
from atlas.span_embedding import SpanEmbedding, SpanVector, TextEmbedding

SPAN_PARTS: tuple[SpanVector, ...] = get_args(SpanVector)
Subject = SpanEmbedding | TextEmbedding | Surface
DRAWN_BY = re.compile(r".+/code:(\d+)(/answer)?$")


class Drawing(NamedTuple):
    """Where a candidate came from: a recorded call, and its choice's place in it."""

    call: ModelCallFinished
    place: int

    @property
    def choice(self) -> Choice:
        """The completion itself."""
        return self.call.choices[self.place]


def feature_set_of(subject: Subject, parts: Sequence[str] = SPAN_PARTS) -> FeatureSet:
    """Return the set that a vector of this subject is of; `parts`: those of a span."""
    if isinstance(subject, SpanEmbedding):
        return FeatureSet(
            kind="span", version=KIND_VERSIONS["span"], parts=tuple(parts), width=subject.n_embd
        )
    if isinstance(subject, TextEmbedding):
        pooled = (subject.pooling,)
        return FeatureSet(
            kind="reprefill", version=KIND_VERSIONS["reprefill"], parts=pooled, width=subject.n_embd
        )
    return FeatureSet(kind="surface", version=KIND_VERSIONS["surface"], parts=SURFACE, width=1)


def vector_of(subject: Subject, parts: Sequence[str] = SPAN_PARTS) -> FeatureVector:
    """Return the subject as a vector of its own set.

    Raises:
        BadInput: a span has no such part, or a number is not finite.
    """
    features = feature_set_of(subject, parts)
    if isinstance(subject, Surface):
        values = np.array([subject.values[name] for name in SURFACE], dtype=np.float32)
    elif isinstance(subject, TextEmbedding):
        values = subject.vector()
    else:
        values = np.concatenate([subject.vector(_part(part)) for part in features.parts])
    return FeatureVector(features, values)


class Drawings:
    """The choice that each candidate came from, as a journal's events are seen one after another.

    `found` by candidate, of those that a Generate drew (repairs are left out).
    """

    def __init__(self) -> None:
        self.found: dict[str, Drawing] = {}
        self._calls: dict[int, Drawing] = {}

    def see(self, event: AnyEvent) -> None:
        """Take in the next event."""
        if isinstance(event, ModelCallFinished) and (named := DRAWN_BY.match(event.call)):
            first = int(named[1])
            self._calls.update({first + i: Drawing(event, i) for i in range(len(event.choices))})
        elif isinstance(event, CandidateGenerated) and event.candidate.first_hand:
            drawing = self._calls.pop(int(event.candidate.id[1:]), None)
            if drawing is not None:
                self.found[event.candidate.id] = drawing


def drawings(events: Iterable[AnyEvent]) -> dict[str, Drawing]:
    """Return by candidate the choice it came from, of those that a Generate drew (repairs are left out)."""
    seen = Drawings()
    for event in events:
        seen.see(event)
    return seen.found


def _part(part: str) -> SpanVector:
    for known in SPAN_PARTS:
        if known == part:
            return known
    raise BadInput(f"a span embedding has no part '{part}'; there are: {', '.join(SPAN_PARTS)}")
