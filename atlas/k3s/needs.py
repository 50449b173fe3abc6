"""Which models an installation loads, and the GPU memory that they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.config import KvType
from atlas.embedded.llama_server import NATIVE_BATCH
from atlas.errors import ModelFileError
from atlas.k3s import chart
from atlas.k3s.values import Values, camel, read
from atlas.memory_plan import Load, Models
from atlas.model_size import PUBLISHED, ModelSize, read_size

Place = Callable[[str], Path]  # where a file of the models directory is, by its name


def setting(values: Values, key: str) -> Any:  # noqa: ANN401 - a value of the chart
    """Return what the values say of a setting (as in context_tokens), else what the chart's own say."""
    said = {**_defaults(), **(values.get("settings") or {})}[camel(key)]
    return None if said == "" else said


@lru_cache(maxsize=1)
def _defaults() -> Values:
    return dict(read(chart.directory() / "values.yaml")["settings"])


def model_file(values: Values) -> str:
    """Return the name of the model's file.

    Raises:
        ModelFileError: the catalogue has no such model.
    """
    own = setting(values, "model_path")
    return Path(str(own)).name if own else models.named(str(setting(values, "model"))).file


def draft_file(values: Values, *, gpu: bool) -> str | None:
    """Return the name of the file of the model that drafts; None: none does.

    On a GPU it is the catalogue's unless another is named, on a CPU one must be: there it slows down.

    Raises:
        ModelFileError: the catalogue has no such model.
    """
    said = setting(values, "draft_model")
    if said == "none":
        return None
    if said:
        name = str(said)
        return Path(name).name if name.endswith(".gguf") else models.named(name).file
    own = setting(values, "model_path")
    usual = None if own or not gpu else models.named(str(setting(values, "model"))).draft
    return models.named(usual).file if usual else None


def vram_mib(values: Values, place: Place) -> int | None:
    """Return the MiB of GPU memory that one llama-server takes with these values; None: not known yet.

    That is what `atlas doctor --model` adds up. Nothing is known of a model without a file here, unless its
    configuration is in the catalogue of published ones.

    Raises:
        ModelFileError: the catalogue has no such model.
    """
    draft = draft_file(values, gpu=True)
    sizes = [_size(name, place) for name in (model_file(values), draft) if name is not None]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    load = Load(
        context=int(setting(values, "context_tokens")),
        slots=int(setting(values, "slots")),
        kv_type=cast(KvType, setting(values, "kv_type")),
        batch=NATIVE_BATCH,
    )
    both = Models(known[0], known[1] if draft else None, NATIVE_BATCH)
    return -(-both.plan(load, draft=draft is not None, gpu=True).bytes // 2**20)


def _size(name: str, place: Place) -> ModelSize | None:
    path = place(name)
    if path.is_file():
        try:
            return read_size(path)
        except ModelFileError:
            pass  # half of it, or an architecture that the plan cannot tell of
    published = next((each.name for each in CATALOGUE.values() if each.file == name), "")
    return PUBLISHED.get(published)
