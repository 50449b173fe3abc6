"""Which weights a task gets: by the sha256 of the GGUF that is served, and what its server can give."""

from __future__ import annotations

from atlas.catalogue import CATALOGUE
from atlas.config import Settings
from atlas.events import TaskSubmitted
from atlas.lens.energy import kind_of
from atlas.lens.table import choose, directories, find, preference
from atlas.llama import ModelServer
from atlas.models import models_dir_of, sha256_of
from atlas.policy import Part, Policy


def model_sha256(alias: str, settings: Settings) -> str | None:
    """Return the sha256 of the GGUF that a server serves under this name; None where nothing here tells.

    A name of the catalogue stands for its pinned file. Any other is that of MODEL_PATH, where it is on this
    machine.
    """
    if alias in CATALOGUE:
        return CATALOGUE[alias].sha256
    path = settings.model_path
    if path is not None and path.stem == alias and path.is_file():
        return sha256_of(path, models_dir_of(settings))
    return None


def keeps_spans(task: TaskSubmitted) -> bool:
    """Whether a task's candidates are drawn with hidden states: its Lens scores by them, or by nothing yet.

    They are large, and a server that has to read a text again for them takes time.
    """
    weights = task.pins.lens_weights
    return Part.LENS in task.policy.needs and (weights is None or kind_of(weights) == "span")


async def weights_for(server: ModelServer, settings: Settings, policy: Policy) -> str | None:
    """Return the name of the weights that a task submitted now is scored with; None: not with any.

    `surface`, or `span` where the server gives span embeddings of their width: of the two the one that orders
    candidates better by its own account, and `span` where that is not told. `reprefill` is never chosen:
    reading every candidate once more costs what drawing them costs.

    Raises:
        ModelServerError: the server cannot be asked.
    """
    if Part.LENS not in policy.needs:
        return None
    sha256 = model_sha256(await server.model(), settings)
    if sha256 is None:
        return None
    files, _ = find(directories(settings.data_dir))
    span, surface = choose(files, sha256, "span"), choose(files, sha256, "surface")
    if span is not None and span.identity.features.width != (await server.facts()).span_n_embd:
        span = None
    usable = [found for found in (span, surface) if found is not None]
    return min(usable, key=lambda found: preference(found.identity)).name if usable else None
