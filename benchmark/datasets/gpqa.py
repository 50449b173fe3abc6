"""GPQA (Rein et al. 2023, arXiv:2311.12022): multiple-choice questions, from the user's own copy.

Its authors ask that it be not put where crawlers find it, so it is neither shipped nor downloaded: give the
CSV of the data set (`gpqa_diamond.csv`), or the same rows as JSON Lines. Of a row these columns are read:
Question, Correct Answer, Incorrect Answer 1 to 3, and where there are Record ID, High-level domain, Subdomain
and Writer's Difficulty Estimate.

The right answer's letter comes from the question: choices are put in the order of a hash of question and
choice, which is the same on every machine and in every run, and no letter is right more often than chance
has it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import ValidationError

from atlas.contracts import LETTERS, Example, Problem
from atlas.errors import BadInput
from benchmark.datasets.lcb_jsonl import Row, json_lines
from benchmark.datasets.source import Item, Opened, Request, Source, check_count, sha256_of
from benchmark.tasks import HiddenTests, Task

RIGHT = "Correct Answer"
WRONG = tuple(f"Incorrect Answer {n}" for n in (1, 2, 3))
COLUMNS = ("Question", RIGHT, *WRONG)
DIAMOND_ROWS = 198


def open_diamond(request: Request) -> Opened:
    """GPQA Diamond, whole.

    Raises:
        BadInput: as `open_part`; or there are not 198 rows.
    """
    return _opened(request, "gpqa_diamond", DIAMOND_ROWS)


def open_part(request: Request) -> Opened:
    """Questions in GPQA's form, however many: a part of Diamond, or another of its sets.

    Raises:
        BadInput: there is no path, or the file or a row of it is malformed (naming file, row and column).
    """
    return _opened(request, "gpqa_part", None)


def _opened(request: Request, name: str, count: int | None) -> Opened:
    request.refuse(name, "release", "revision")
    path = request.own_copy(name)
    tasks: dict[str, Task] = {}
    for row in rows(path):
        made = task(row)
        if made.id in tasks:
            raise row.bad(
                "Record ID" if "Record ID" in row.fields else "Question", "is in an earlier row too"
            )
        tasks[made.id] = made
    if not tasks:
        raise BadInput(f"{path}: holds no rows")
    check_count(path, len(tasks), count)

    def decode(wanted: Collection[str]) -> list[Task]:
        return [made for made in tasks.values() if made.id in wanted]

    source = Source(dataset=name, file=path.name, sha256=sha256_of(path), rows=len(tasks))
    return Opened((source,), tuple(map(Item, tasks)), decode)


def rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file (.csv; the line of column names is not counted) or of JSON Lines, in order.

    Raises:
        BadInput: the file cannot be read, or a column is missing.
    """
    if path.suffix.lower() != ".csv":
        yield from json_lines(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise BadInput(f"{path}: has no column {missing[0]!r}")
            for number, fields in enumerate(reader, start=1):
                row = Row(path, number, dict(fields))
                if None in fields:
                    raise row.bad("row", "has more fields than there are columns")
                yield row
    except OSError as e:
        raise BadInput(f"{path}: cannot be read: {e}") from e
    except UnicodeDecodeError as e:
        raise BadInput(f"{path}: is not UTF-8 text") from e
    except csv.Error as e:
        raise BadInput(f"{path}: row {reader.line_num}: is not CSV (cut off?): {e}") from e


def task(row: Row) -> Task:
    """The task that a row describes.

    Raises:
        BadInput: a column is missing or empty, or a wrong answer equals the right one.
    """
    question = row.text("Question").strip()
    right = row.text(RIGHT).strip()
    wrong = [row.text(name).strip() for name in WRONG]
    for name, choice in zip(WRONG, wrong, strict=True):
        if choice == right:
            raise row.bad(name, f"is the same as {RIGHT}")

    def place(choice: str) -> bytes:
        return hashlib.sha256(f"{question}\0{choice}".encode()).digest()

    choices = tuple(sorted([right, *wrong], key=place))
    try:
        problem = Problem(statement=question, kind="choice", choices=choices)
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        raise row.bad(".".join(map(str, first["loc"])) or "row", first["msg"]) from e
    record = row.text("Record ID", optional=True).strip()
    return Task(
        id=f"gpqa/{record or hashlib.sha256(question.encode()).hexdigest()[:16]}",
        title=row.text("Subdomain", optional=True).strip(),
        platform=row.text("High-level domain", optional=True).strip().lower() or "gpqa",
        difficulty=row.text("Writer's Difficulty Estimate", optional=True).strip(),
        date=None,
        problem=problem,
        hidden=HiddenTests((Example(input="", output=LETTERS[choices.index(right)]),)),
    )
