"""Reads tasks from JSON Lines (also gzipped) in LiveCodeBench's schema, in either of its two forms.

Normalised rows hold `public_tests` and `private_tests` as lists of {input, output, testtype}; LiveCodeBench's
own rows (`livecodebench/code_generation_lite`) hold `public_test_cases` as JSON text and `private_test_cases`
as JSON text or as base64 of zlib of a pickled string of JSON.

Anything malformed is a `BadInput` that names file, row and field, never a task with fewer tests: an
undecodable payload once scored 1.0 elsewhere because every program passes zero tests (olmo-eval #354).
Messages never quote a test.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import pickle  # read through an unpickler that can make nothing but a string
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from atlas.contracts import Example, Limits, Problem
from atlas.errors import BadInput
from benchmark.tasks import HiddenTests, Task

TESTTYPES = {"stdin": "stdin", "functional": "function"}
MAX_PAYLOAD_BYTES = 1 << 30
"""Largest decompressed `private_test_cases`; more is taken for a decompression bomb."""

MEMORY_MB = {"atcoder": 1024}
"""Per platform, where it is not the default of `Limits`: AtCoder's own limit is 1024 MB."""

# A packager of Codeforces tasks appended sections to each statement: the algorithm's tags, and examples that
# are taken from the tests which the same row calls private. The statement's own examples come before it.
_PACKAGING = re.compile(
    r"\n+(?:## Categories\n.*?)?\n## Source\n.*?\n## Examples\n+### Example 1\n.*\n## Testing\n.*\Z",
    re.DOTALL,
)


@dataclass(frozen=True)
class Row:
    """One parsed line and where it stands; `number` counts lines from 1."""

    file: Path
    number: int
    fields: dict[str, object]

    def bad(self, field: str, what: str) -> BadInput:
        """The error that says what is wrong with `field` of this row."""
        name = next((self.fields[n] for n in ("question_id", "task_id", "id") if n in self.fields), None)
        named = f" ({name})" if isinstance(name, str) and name else ""
        return BadInput(f"{self.file}: row {self.number}{named}: {field}: {what}")

    def text(self, *names: str, optional: bool = False) -> str:
        """The string under the first of `names` that is there; optional ones may be absent, null or empty."""
        value = next((self.fields[n] for n in names if self.fields.get(n) is not None), None)
        if value is None and optional:
            return ""
        if not isinstance(value, str):
            raise self.bad(names[0], "is missing" if value is None else "is not a string")
        if not value.strip() and not optional:
            raise self.bad(names[0], "is empty")
        if not _is_unicode(value):
            raise self.bad(names[0], "holds half of a surrogate pair")
        return value


def read_rows(path: Path, id_field: str = "question_id") -> Iterator[Row]:
    """The file's rows, in order, parsed and with unique ids (texts, in `id_field`), but not yet decoded.

    Raises:
        BadInput: the file cannot be read, is cut off or empty, a line is not a JSON object, or an id repeats.
    """
    seen: dict[str, int] = {}
    for row in json_lines(path):
        task_id = row.text(id_field)
        if task_id in seen:
            raise row.bad(id_field, f"repeats that of row {seen[task_id]}")
        seen[task_id] = row.number
        yield row


def json_lines(path: Path) -> Iterator[Row]:
    """The file's JSON objects, in order, at least one.

    Raises:
        BadInput: the file cannot be read, is cut off or empty, or a line is not a JSON object.
    """
    empty = True
    with _readable(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as e:
                raise BadInput(f"{path}: row {number}: is not JSON (cut off?)") from e
            if not isinstance(fields, dict):
                raise BadInput(f"{path}: row {number}: is not a JSON object")
            empty = False
            yield Row(path, number, fields)
    if empty:
        raise BadInput(f"{path}: holds no rows")


@contextmanager
def _readable(path: Path) -> Iterator[io.TextIOBase]:
    """The open file; whatever goes wrong while it is read becomes a BadInput naming it."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            yield lines
    except (OSError, EOFError, zlib.error) as e:  # OSError includes gzip.BadGzipFile
        raise BadInput(f"{path}: cannot be read: {e}") from e
    except UnicodeDecodeError as e:
        raise BadInput(f"{path}: is not UTF-8 text") from e


def task(row: Row) -> Task:
    """The task that a row describes.

    Raises:
        BadInput: a field is missing or malformed, or there is no hidden test.
    """
    metadata = _metadata(row)
    public_type, public = _tests(row, "public_tests", "public_test_cases")
    hidden_type, hidden = _tests(row, "private_tests", "private_test_cases")
    if not hidden or hidden_type is None:
        raise row.bad("private_tests", "there are none, and every program would pass")
    if public_type not in (None, hidden_type):
        raise row.bad("public_tests", f"testtype is {public_type}, but private tests are {hidden_type}")
    entry_point = metadata.get("func_name")
    if hidden_type == "functional" and not isinstance(entry_point, str):
        raise row.bad("metadata", "functional tests need func_name")
    platform = row.text("platform", optional=True)
    title = row.text("question_title", "title", optional=True)
    try:
        problem = Problem.model_validate(
            {
                "title": title,
                "statement": _PACKAGING.sub("\n", row.text("question_content")),
                "kind": TESTTYPES[hidden_type],
                "starter_code": row.text("starter_code", optional=True),
                "entry_point": entry_point if hidden_type == "functional" else None,
                "examples": public,
                "limits": _limits(platform, metadata),
            }
        )
    except ValidationError as e:
        raise row.bad(*_first_complaint(e)) from e
    return Task(
        id=row.text("question_id"),
        title=title,
        platform=platform,
        difficulty=row.text("difficulty", optional=True),
        date=contest_date(row),
        problem=problem,
        hidden=HiddenTests(hidden),
    )


def _first_complaint(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"])) or "row", first["msg"]


def _metadata(row: Row) -> dict[str, object]:
    value = row.fields.get("metadata")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as e:
            raise row.bad("metadata", "is not JSON") from e
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise row.bad("metadata", "is not a JSON object")
    return value


def _limits(platform: str, metadata: dict[str, object]) -> dict[str, object]:
    """Limits' own field names: a row's metadata may set them, else the platform's, else the defaults."""
    limits: dict[str, object] = {"memory_mb": MEMORY_MB[platform]} if platform in MEMORY_MB else {}
    return limits | {name: metadata[name] for name in Limits.model_fields if name in metadata}


def contest_date(row: Row) -> date | None:
    """The day of the task's contest; None where the row does not say.

    Raises:
        BadInput: it is not an ISO date.
    """
    text = row.text("contest_date", optional=True)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as e:
        raise row.bad("contest_date", "is not an ISO date") from e


# ---------------------------------------------------------------- tests


def _tests(row: Row, normalised: str, official: str) -> tuple[str | None, tuple[Example, ...]]:
    """The type and the tests under whichever of the two field names is there."""
    if (normalised in row.fields) == (official in row.fields):
        raise row.bad(normalised, f"needs exactly one of {normalised} and {official}")
    if normalised in row.fields:
        field, tests = normalised, row.fields[normalised]
    else:
        field, tests = official, _decoded(row, official)
    if not isinstance(tests, list):
        raise row.bad(field, "is not a list")
    examples = tuple(_example(row, f"{field}[{i}]", test) for i, test in enumerate(tests))
    types = {test["testtype"] for test in tests}
    if len(types) > 1:
        raise row.bad(field, "mixes stdin and functional tests")
    return (types.pop() if types else None), examples


def _example(row: Row, field: str, test: object) -> Example:
    if not isinstance(test, dict):
        raise row.bad(field, "is not a JSON object")
    for part in ("input", "output"):
        if not isinstance(test.get(part), str):
            raise row.bad(f"{field}.{part}", "is missing" if part not in test else "is not a string")
        if not _is_unicode(test[part]):
            raise row.bad(f"{field}.{part}", "holds half of a surrogate pair")
    if test.get("testtype") not in list(TESTTYPES):  # a list, because the value may not be hashable
        raise row.bad(f"{field}.testtype", "is neither stdin nor functional")
    if test["testtype"] == "functional":
        # One JSON value per line in, one JSON value out; checked here so that grading cannot trip over it.
        for part, values in (("input", test["input"].split("\n")), ("output", [test["output"]])):
            if not all(map(_is_json, values)):
                raise row.bad(f"{field}.{part}", "is not JSON")
    return Example(input=test["input"], output=test["output"])


def _is_unicode(text: str) -> bool:
    """False for text that JSON can spell but UTF-8 cannot carry, so no service could be sent it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=str)  # int() refuses more than 4300 digits, which is not the data's fault
    except (ValueError, RecursionError):
        return False
    return True


def _decoded(row: Row, field: str) -> object:
    """The value of one of LiveCodeBench's own test fields."""
    text = row.text(field)
    if text.lstrip()[0] not in '[{"':  # base64 text starts with none of these
        text = _unpacked(text, lambda what: row.bad(field, what))
    try:
        return json.loads(text)
    except ValueError as e:
        raise row.bad(field, "is not JSON") from e


def _unpacked(text: str, bad: Callable[[str], BadInput]) -> str:
    """Undo base64, zlib and pickle."""
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise bad("is neither JSON nor base64") from e
    stream = zlib.decompressobj()
    try:
        pickled = stream.decompress(packed, MAX_PAYLOAD_BYTES)
    except zlib.error as e:
        raise bad("is not zlib data") from e
    if not stream.eof:
        raise bad(
            "is cut off" if not stream.unconsumed_tail else f"unpacks to over {MAX_PAYLOAD_BYTES} bytes"
        )
    return _unpickled_string(pickled, bad)


class _StringUnpickler(pickle.Unpickler):
    """Can build plain values only: every class and function is refused, so nothing can be called."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError("names a class or function")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("names an outside object")


def _unpickled_string(pickled: bytes, bad: Callable[[str], BadInput]) -> str:
    stream = io.BytesIO(pickled)
    try:
        value = _StringUnpickler(stream).load()
    # Broken pickles raise nearly anything (see the pickle module's docs on UnpicklingError).
    except (pickle.UnpicklingError, ValueError, EOFError, LookupError, TypeError, AttributeError) as e:
        raise bad("is not a pickled string") from e
    if not isinstance(value, str) or stream.read(1):
        raise bad("pickles something other than one string")
    return value
