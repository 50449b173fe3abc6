"""What every data set's loader answers with: which tasks there are, from which files, and how to read them.

A loader opens a data set (`Opened`) without decoding its tests, since all of LiveCodeBench is 4.5 GB;
`benchmark.datasets.selection` chooses among the ids and has only the chosen ones decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pydantic import Field

from atlas.contracts import Contract
from atlas.errors import BadInput
from benchmark.datasets.lcb_jsonl import Row, contest_date, read_rows, task
from benchmark.tasks import Task

CHUNK = 1 << 20


class Source(Contract):
    """One file that tasks were read from.

    `revision` is the commit it was downloaded at; None for a file of the user's own.
    """

    dataset: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(ge=1)
    revision: str | None = None


@dataclass(frozen=True)
class Item:
    """One task of a data set, not yet decoded. `date` is None where the data does not say."""

    id: str
    date: date | None = None


@dataclass(frozen=True)
class Opened:
    """A data set whose files are there and whole.

    Attributes:
        sources: the files, in order.
        items: its tasks, in order; ids are unique.
        decode: the tasks of these ids, in the order of `items`.
        excluded: tasks that cannot be graded here, by id, and why.
    """

    sources: tuple[Source, ...]
    items: tuple[Item, ...]
    decode: Callable[[Collection[str]], list[Task]]
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a loader may be asked for beside a path; one that cannot serve a wish refuses it (`refuse`).

    Attributes:
        path: the user's own copy; None to download it.
        release: a release of the data set, where it has several.
        revision: commit, branch or tag to download instead of the pinned one.
        data_dir: where downloads and what is derived from them are kept.
    """

    path: Path | None
    data_dir: Path
    release: str | None = None
    revision: str | None = None

    def own_copy(self, name: str) -> Path:
        """The path, for data that is not downloaded here.

        Raises:
            BadInput: there is none.
        """
        if self.path is None:
            raise BadInput(f"{name} is not downloaded here: give your own copy, as {name}=PATH")
        return self.path

    def refuse(self, name: str, *wishes: str) -> None:
        """Say so where a wish has no meaning, rather than ignoring it.

        Raises:
            BadInput: one of `wishes` (names of this class's attributes) is there.
        """
        for wish in wishes:
            if getattr(self, wish) is not None:
                raise BadInput(f"{wish} {getattr(self, wish)!r} means nothing for {name}")


Loader = Callable[[Request], Opened]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        BadInput: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as e:
        raise BadInput(f"{path}: cannot be read: {e}") from e
    return digest.hexdigest()


def open_rows(
    dataset: str,
    files: Sequence[Path],
    *,
    revision: str | None = None,
    counts: Mapping[str, int] | None = None,
    read: Callable[[Path], Iterator[Row]] = read_rows,
) -> Opened:
    """Files of rows in LiveCodeBench's schema (`lcb_jsonl`), or that `read` turns into such, as one data set.

    Args:
        dataset: the data set's name, for `Source.dataset`.
        files: where its rows are, in order.
        revision: the commit they were downloaded at; None for files of the user's own.
        counts: how many rows a file has, by its name, where that is known.
        read: yields a file's rows.

    Raises:
        BadInput: a file cannot be read, a row is no JSON object or has no id, an id repeats, or a file has
            another number of rows than `counts` says (a download that broke off).
    """
    sources: list[Source] = []
    items: list[Item] = []
    seen: dict[str, Row] = {}
    for path in files:
        before = len(items)
        for row in read(path):
            name = row.text("question_id")
            if name in seen:
                raise row.bad("question_id", f"is also row {seen[name].number} of {seen[name].file}")
            seen[name] = Row(path, row.number, {})
            items.append(Item(name, contest_date(row)))
        rows = len(items) - before
        check_count(path, rows, (counts or {}).get(path.name))
        sources.append(
            Source(dataset=dataset, file=path.name, sha256=sha256_of(path), rows=rows, revision=revision)
        )

    def decode(wanted: Collection[str]) -> list[Task]:
        return [
            task(row)
            for path in files
            if any(seen[name].file == path for name in wanted)
            for row in read(path)
            if row.text("question_id") in wanted
        ]

    return Opened(tuple(sources), tuple(items), decode)


def check_count(path: Path, rows: int, expected: int | None) -> None:
    """Refuse a file with rows missing or added. `expected`: None where nobody knows.

    Raises:
        BadInput: another number of rows; names the first row that is not there, or is too many.
    """
    if expected is None or rows == expected:
        return
    what = f"row {rows + 1} and what follows are missing" if rows < expected else f"row {expected + 1} is new"
    raise BadInput(f"{path}: has {rows} rows, and the data set's file has {expected}: {what}")
