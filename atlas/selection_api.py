"""The REST contracts of the lens's `POST /v1/select`: a journal in, what it would choose and why out."""

from __future__ import annotations

from pydantic import Field

from atlas.contracts import Contract
from atlas.events import Entry, TaskAbstained, TaskDecided
from atlas.policy import Selector


class JournalRequest(Contract):
    """A task's journal from its beginning. How it ended is not looked at: its last events may be missing.

    `selector` stands in for the policy's. `first`: as if only the first so many candidates had been drawn
    (of those in the journal, repairs left out); they are compared on the same inputs.
    """

    entries: tuple[Entry, ...] = Field(min_length=1)
    selector: Selector | None = None
    first: int | None = Field(default=None, ge=1)


class WeighedCluster(Contract):
    """A cluster, the member that stands for it, and what the calibrated selector makes of its features."""

    candidates: tuple[str, ...]
    program: str
    probability: float = Field(ge=0, le=1)
    features: dict[str, float]


class Selection(Contract):
    """What the lens answers Select with, and the clusters it chose among, the preferred one first.

    There are none for letters and for programs of steps.
    """

    decision: TaskDecided | TaskAbstained = Field(discriminator="type")
    clusters: tuple[WeighedCluster, ...]
