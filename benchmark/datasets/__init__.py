"""Where benchmark tasks come from: the bundled ones, or the user's own download. See `load`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from atlas.errors import BadInput
from benchmark.datasets.lcb_jsonl import read_rows, task
from benchmark.tasks import Task

BUNDLED = Path(__file__).parent / "bundled" / "tasks.jsonl"
NAMES = {"bundled": BUNDLED}


def load(name_or_path: str | Path, limit: int | None = None, seed: int | None = None) -> list[Task]:
    """Tasks of a bundled dataset or of a `.jsonl`/`.jsonl.gz` file, in the file's order.

    The whole file is checked to be JSON with unique ids; only the tasks returned are decoded further (all of
    LiveCodeBench is 4.5 GB).

    Args:
        name_or_path: a name (`bundled`) or a path. To read a file called `bundled`, write `./bundled`.
        limit: at most this many tasks; without `seed` the file's first ones.
        seed: choose the `limit` tasks at random instead. The choice depends only on seed and ids, and a
            larger limit keeps the tasks of a smaller one. Without a limit there is nothing to choose.

    Raises:
        BadInput: there is no such dataset, a limit below 1, or malformed data (naming file, row and field).
    """
    if limit is not None and limit < 1:
        raise BadInput(f"limit is {limit}: ask for at least 1 task")
    path = resolve(name_or_path)
    ids = [row.text("question_id") for row in read_rows(path)]
    if limit is None:
        wanted = set(ids)
    elif seed is None:
        wanted = set(ids[:limit])
    else:
        wanted = set(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())[:limit])
    return [task(row) for row in read_rows(path) if row.text("question_id") in wanted]


def resolve(name_or_path: str | Path) -> Path:
    """The file that a dataset's name or path stands for.

    Raises:
        BadInput: there is none; the message lists what there is.
    """
    if isinstance(name_or_path, str) and name_or_path in NAMES:
        return NAMES[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    beside = path if path.is_dir() else path.parent
    files = sorted(p.name for p in beside.iterdir() if _is_dataset(p)) if beside.is_dir() else []
    there = f"; in {beside} there is: {', '.join(files)}" if files else ""
    raise BadInput(
        f"no dataset {str(name_or_path)!r}: give one of the names ({', '.join(sorted(NAMES))}) "
        f"or the path of a .jsonl or .jsonl.gz file{there}"
    )


def _is_dataset(path: Path) -> bool:
    return path.name.endswith((".jsonl", ".jsonl.gz"))
