"""JSON schemas that a model is held to by the server's grammar: the pieces they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

# One short sentence.
LINE: Schema = {"type": "string", "minLength": 3, "maxLength": 160}


def begun(beginning: str) -> Schema:
    """Return the schema of a short sentence that begins with these words (letters and spaces).

    It has no quotes and backslashes: in a pattern, unlike in a string without one, the server's grammar
    lets the model write them as they are, and the JSON would end there.
    """
    return {"type": "string", "pattern": rf'^{beginning}[^"\\\x00-\x1F]{{8,140}}$'}


def list_of(items: Schema, least: int, most: int) -> Schema:
    """Return the schema of a list of `least` to `most` items."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def object_of(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with these properties, all of them and no others."""
    # The server's grammar lets the model invent further keys unless they are forbidden.
    fixed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": dict(properties), **fixed}
