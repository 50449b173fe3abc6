"""Reads lists of task ids: what a split file, a list of one's own, or a report's table of failures names."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from pathlib import Path

from atlas.errors import BadInput


def read_ids(source: str) -> frozenset[str]:
    """The ids of `FILE` (a JSON list, or one id a line; `#` begins a comment line) or of `FILE#KEY`.

    With a key the file is a JSON object, and the value under the key a list of ids or an object whose values
    are such lists (one per file of data, say), all of which are taken.

    Raises:
        BadInput: the file cannot be read, is not of that form, has no such key, or names no id.
    """
    name, _, key = source.partition("#")
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"{name}: cannot be read: {e}") from e
    if text.lstrip()[:1] in ("[", "{"):
        ids = _from_json(name, key, text)
    elif key:
        raise BadInput(f"{name}: is not a JSON object, so it has no key {key!r}")
    else:
        lines = (line.strip() for line in text.splitlines())
        ids = [line for line in lines if line and not line.startswith("#")]
    if not ids:
        raise BadInput(f"{source}: names no id")
    return frozenset(ids)


def refuse(tasks: Set[str], lists: Sequence[str], of: str = "pools") -> None:
    """Check that no task is on a list of tasks that nothing may be tuned on; `of`: what they are from.

    Raises:
        BadInput: one is; names it. Or a list cannot be read.
    """
    for each in lists:
        if kept_out := sorted(tasks & read_ids(each)):
            raise BadInput(
                f"{len(kept_out)} tasks of these {of} are in {each} (first: {kept_out[0]}): they are for "
                "measuring, and nothing is fitted to them"
            )


def _from_json(name: str, key: str, text: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadInput(f"{name}: is not JSON: {e}") from e
    if isinstance(value, dict):
        if key not in value:
            raise BadInput(f"{name}: give one of its keys, as {name}#KEY: {', '.join(map(str, value))}")
        value = value[key]
    elif key:
        raise BadInput(f"{name}: is a list, so it has no key {key!r}")
    lists = list(value.values()) if isinstance(value, dict) else [value]
    if not all(isinstance(each, list) and all(isinstance(i, str) for i in each) for each in lists):
        raise BadInput(f"{name}{'#' * bool(key)}{key}: is neither a list of ids nor an object of such lists")
    return [i for each in lists for i in each]
