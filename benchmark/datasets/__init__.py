"""Where benchmark tasks come from: the bundled ones, downloads, or the user's own files. See `selection`."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets.catalogue import BUNDLED, NAMES
from benchmark.datasets.selection import from_mapping
from benchmark.datasets.selection import load as load_selection
from benchmark.tasks import Task

__all__ = ["BUNDLED", "NAMES", "load"]


def load(name_or_path: str | Path, limit: int | None = None, seed: int | None = None) -> list[Task]:
    """Tasks of one data set, in its order: `selection.load` for whoever needs no more than tasks.

    Args:
        name_or_path: a name (`bundled`) or a path. To read a file called `bundled`, write `./bundled`.
        limit: at most this many tasks; without `seed` the first ones.
        seed: choose the `limit` tasks at random instead. Without a limit there is nothing to choose.

    Raises:
        BadInput: there is no such data set, a limit below 1, or malformed data (naming file, row and field).
    """
    fields: dict[str, object] = {"dataset": (str(name_or_path),), "limit": limit}
    if limit is not None:
        fields["choose_seed"] = seed
    return list(load_selection(from_mapping(fields)).tasks)
