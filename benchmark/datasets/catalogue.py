"""The data sets by name, and how a path is recognised. One entry of `LOADERS` per data set.

Loaders check what they are given and say what is wrong; this module only finds the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from atlas.errors import BadInput
from benchmark.datasets import gpqa, scicode
from benchmark.datasets.humaneval import open_humaneval, open_humaneval_plus
from benchmark.datasets.lcb_jsonl import Row, json_lines
from benchmark.datasets.livecodebench import is_copy, is_official, open_livecodebench
from benchmark.datasets.mbpp import open_mbpp, open_mbpp_plus, open_mbpp_sanitized
from benchmark.datasets.plain import is_plain, open_plain
from benchmark.datasets.source import Loader, Opened, Request, open_rows

BUNDLED = Path(__file__).parent / "bundled" / "tasks.jsonl"
SUFFIXES = (".jsonl", ".jsonl.gz")
# By a field of its own, the data set that a file seems to be: what it is must be said, to be checked.
LOOKS = {
    "task_id": "humaneval, humaneval_plus, mbpp, mbpp_sanitized, mbpp_plus",
    gpqa.RIGHT: "gpqa_diamond, gpqa_part",
    "sub_steps": "scicode, scicode_background, scicode_part",
}


def bundled(request: Request) -> Opened:
    """The tasks that come with ATLAS, or another file in LiveCodeBench's schema.

    Raises:
        BadInput: see `open_rows`.
    """
    request.refuse("bundled tasks", "release", "revision")
    return open_rows("bundled", [request.path or BUNDLED])


def own_file(request: Request) -> Opened:
    """A file of one's own, in whichever form its first row has.

    Raises:
        BadInput: it is in none of them, or not whole.
        InfrastructureError: reference programs could not be run.
    """
    path = request.own_copy("a file")
    if path.suffix.lower() == ".csv":
        raise _unsaid(path, "gpqa_diamond, gpqa_part")
    if path.suffix.lower() in (".json", ".parquet"):
        raise _unsaid(path, LOOKS["task_id"])
    if is_official(path):
        return open_livecodebench(request)
    first = first_row(path)
    if is_plain(first):
        return open_plain(request)
    for field, wanted in LOOKS.items():
        if field in first.fields:
            raise _unsaid(path, wanted)
    request.refuse("a single file", "release", "revision")
    return open_rows(path.name, [path])


LOADERS: Mapping[str, Loader] = {
    "bundled": bundled,
    "gpqa_diamond": gpqa.open_diamond,
    "gpqa_part": gpqa.open_part,
    "humaneval": open_humaneval,
    "humaneval_plus": open_humaneval_plus,
    "livecodebench": open_livecodebench,
    "mbpp": open_mbpp,
    "mbpp_plus": open_mbpp_plus,
    "mbpp_sanitized": open_mbpp_sanitized,
    "plain": open_plain,
    "scicode": scicode.open_scicode,
    "scicode_background": scicode.open_with_background,
    "scicode_part": scicode.open_part,
}
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
    request = Request(path, data_dir, release, revision)
    if path.is_dir() and is_copy(path):
        return open_livecodebench(request)
    if not path.is_file():
        raise _none(dataset, path)
    return own_file(request)


def first_row(path: Path) -> Row:
    """The first row of a JSON Lines file, whatever its form.

    Raises:
        BadInput: there is none, or it is no JSON object.
    """
    return next(iter(json_lines(path)))


def _unsaid(path: Path, names: str) -> BadInput:
    return BadInput(f"{path}: looks like a data set's own file: say which, as NAME={path} ({names})")


def _none(dataset: str, path: Path) -> BadInput:
    beside = path if path.is_dir() else path.parent
    files = sorted(p.name for p in beside.iterdir() if p.name.endswith(SUFFIXES)) if beside.is_dir() else []
    there = f"; in {beside} there is: {', '.join(files)}" if files else ""
    return BadInput(
        f"no data set {dataset!r}: give one of the names ({', '.join(sorted(NAMES))}), "
        f"the path of a .jsonl or .jsonl.gz file, or NAME=PATH{there}"
    )
