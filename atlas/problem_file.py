"""A problem as people keep it in a file: a statement in plain text or Markdown, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from atlas.api import SubmitRequest
from atlas.errors import BadInput

STDIN = "-"


def request_of(
    file: str,
    *,
    examples: Sequence[tuple[Path, Path]] = (),
    function: str | None = None,
    starter: Path | None = None,
    policy: str | None = None,
    seed: int | None = None,
    abstain_below: float | None = None,
    deadline_s: float | None = None,
) -> SubmitRequest:
    """Return what to submit for a file (`-`: standard input).

    JSON is a Problem, or an object with `problem` and other fields of SubmitRequest; `policy`, `seed`,
    `abstain_below` and `deadline_s` win over its own. `examples` (files of input and output), `function` and
    `starter` complete a plain statement only.

    Raises:
        BadInput: a file cannot be read, or what it holds is not a problem; says what to mend.
    """
    text = _read(file)
    body = _json_object(file, text)
    if body is None:
        body = {"problem": _plain(text, examples, function, starter)}
    elif examples or function or starter:
        raise BadInput(f"{file} is JSON: write the examples, entry_point and starter_code into it")
    elif "problem" not in body:
        body = {"problem": body}
    chosen = {"policy": policy, "seed": seed, "abstain_below": abstain_below, "deadline_s": deadline_s}
    body |= {key: value for key, value in chosen.items() if value is not None}
    try:
        return SubmitRequest.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{file} is not a problem: {where}: {first['msg']}") from error


def _plain(
    statement: str, examples: Sequence[tuple[Path, Path]], function: str | None, starter: Path | None
) -> dict[str, object]:
    pairs = [{"input": _read(str(given)), "output": _read(str(wanted))} for given, wanted in examples]
    problem: dict[str, object] = {"statement": statement, "examples": pairs}
    if starter is not None:
        problem["starter_code"] = _read(str(starter))
    if function is not None:
        problem |= {"kind": "function", "entry_point": function}
    return problem


def _json_object(file: str, text: str) -> dict[str, object] | None:
    """Return the JSON object a text is; None if it is a statement.

    Raises:
        BadInput: a file named .json holds something else.
    """
    named = file.endswith(".json")
    if not named and not text.lstrip().startswith("{"):
        return None
    try:
        body = json.loads(text)
    except ValueError as error:
        if named:
            raise BadInput(f"{file} is not JSON: {error}") from error
        return None
    if isinstance(body, dict):
        return body
    raise BadInput(f"{file} holds JSON, but not an object with a problem")


def _read(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not text in UTF-8: byte {error.start} is {error.reason}") from error
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
