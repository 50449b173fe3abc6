"""The data sets by name, and how a path is recognised. One entry of `LOADERS` per data set.

Loaders check what they are given and say what is wrong; this module only finds the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atlas.errors import BadInput
from benchmark.datasets.source import Loader, Opened, Request, open_rows

BUNDLED = Path(__file__).parent / "bundled" / "tasks.jsonl"
SUFFIXES = (".jsonl", ".jsonl.gz")


def bundled(request: Request) -> Opened:
    """The tasks that come with ATLAS, or another file in LiveCodeBench's schema.

    Raises:
        BadInput: see `open_rows`.
    """
    request.refuse("bundled tasks", "release", "revision")
    return open_rows("bundled", [request.path or BUNDLED])


def rows_file(request: Request) -> Opened:
    """A file of one's own in LiveCodeBench's schema or its normalised form.

    Raises:
        BadInput: see `open_rows`.
    """
    request.refuse("a single file", "release", "revision")
    if request.path is None:
        raise AssertionError("only ever chosen for a path")
    return open_rows(request.path.name, [request.path])


LOADERS: Mapping[str, Loader] = {"bundled": bundled}
NAMES = LOADERS.keys()


def opened(dataset: str, release: str | None, revision: str | None, data_dir: Path) -> Opened:
    """Open the data set that a name, a path or `name=path` stands for.

    To read a file that is called as a data set is, write `./bundled`.

    Raises:
        BadInput: there is none (the message lists what there is), or its data is not whole.
        InfrastructureError: it could not be downloaded or prepared.
    """
    name, equals, rest = dataset.partition("=")
    if name in LOADERS:
        path = Path(rest) if equals else None
        if path is not None and not path.exists():
            raise _none(dataset, path)
        return LOADERS[name](Request(path, data_dir, release, revision))
    path = Path(dataset)
    if not path.is_file():
        raise _none(dataset, path)
    return rows_file(Request(path, data_dir, release, revision))


def _none(dataset: str, path: Path) -> BadInput:
    beside = path if path.is_dir() else path.parent
    files = sorted(p.name for p in beside.iterdir() if p.name.endswith(SUFFIXES)) if beside.is_dir() else []
    there = f"; in {beside} there is: {', '.join(files)}" if files else ""
    return BadInput(
        f"no data set {dataset!r}: give one of the names ({', '.join(sorted(NAMES))}), "
        f"the path of a .jsonl or .jsonl.gz file, or NAME=PATH{there}"
    )
