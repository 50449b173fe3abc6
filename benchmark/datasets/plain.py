"""Tasks of one's own, in a plain JSON Lines file: one object a line, with these fields.

    id          text, unique in the file
    statement   text (Markdown)
    tests       hidden tests, at least one: [{"input": ..., "output": ...}, ...]
    examples    public tests, which the solving stack may see and run; none if absent
    entry_point name of the function to write (a method if `starter` has a class); without it a
                program that reads stdin
    starter     code to begin with
    title, difficulty, platform, date (ISO)
    limits      {"time_s": 6, "memory_mb": 512, "output_kb": 1024}, each with the default shown

`input` and `output` are texts for a program, and for a function a list of arguments and the value returned.
Unknown fields are refused: a misspelt one would be ignored in silence.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from atlas.contracts import Contract, Limits
from benchmark.datasets.lcb_jsonl import Row, read_rows
from benchmark.datasets.source import Opened, Request, open_rows

REQUIRED = frozenset({"id", "statement", "tests"})


class PlainTest(Contract):
    """One test: texts for a program, a list of arguments and a value for a function."""

    input: JsonValue
    output: JsonValue


class PlainTask(Contract):
    """One row. What the fields mean is in the module's docstring."""

    id: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    tests: tuple[PlainTest, ...] = Field(min_length=1)
    examples: tuple[PlainTest, ...] = ()
    entry_point: str | None = None
    starter: str = ""
    title: str = ""
    difficulty: str = ""
    platform: str = ""
    date: datetime.date | None = None
    limits: Limits = Limits()


def open_plain(request: Request) -> Opened:
    """A file of one's own in the plain form.

    Raises:
        BadInput: the file is empty, or a row is malformed or has no tests (naming file, row and field).
    """
    request.refuse("a file of one's own", "release", "revision")
    path = request.own_copy("plain")
    return open_rows(path.name, [path], read=plain_rows)


def is_plain(row: Row) -> bool:
    """Whether a row is of this form rather than another that `catalogue` knows."""
    return row.fields.keys() >= REQUIRED


def plain_rows(path: Path) -> Iterator[Row]:
    """The file's rows, as `lcb_jsonl` reads them.

    Raises:
        BadInput: the file or a row is malformed.
    """
    for row in read_rows(path, id_field="id"):
        try:
            plain = PlainTask.model_validate(row.fields)
        except ValidationError as e:
            first = e.errors(include_input=False, include_url=False)[0]
            raise row.bad(".".join(map(str, first["loc"])) or "row", first["msg"]) from e
        yield Row(path, row.number, _fields(row, plain))


def _fields(row: Row, plain: PlainTask) -> dict[str, object]:
    metadata: dict[str, object] = {
        name: getattr(plain.limits, name) for name in plain.limits.model_fields_set
    }
    if plain.entry_point is not None:
        metadata["func_name"] = plain.entry_point
    return {
        "question_id": plain.id,
        "platform": plain.platform,
        "title": plain.title,
        "question_content": plain.statement,
        "starter_code": plain.starter,
        "difficulty": plain.difficulty,
        "contest_date": plain.date.isoformat() if plain.date else None,
        "public_tests": [_test(row, plain, f"examples[{i}]", t) for i, t in enumerate(plain.examples)],
        "private_tests": [_test(row, plain, f"tests[{i}]", t) for i, t in enumerate(plain.tests)],
        "metadata": metadata,
    }


def _test(row: Row, plain: PlainTask, where: str, test: PlainTest) -> dict[str, str]:
    if plain.entry_point is not None:
        if not isinstance(test.input, list):
            raise row.bad(f"{where}.input", "is not the list of the function's arguments")
        given = "\n".join(map(json.dumps, test.input))
        return {"input": given, "output": json.dumps(test.output), "testtype": "functional"}
    if not isinstance(test.input, str) or not isinstance(test.output, str):
        raise row.bad(where, "needs input and output as texts, since there is no entry_point")
    return {"input": test.input, "output": test.output, "testtype": "stdin"}
