"""JSON schemas that a model is held to by the server's grammar: the pieces they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

# One short sentence.
LINE: Schema = {"type": "string", "minLength": 3, "maxLength": 160}


def list_of(items: Schema, least: int, most: int) -> Schema:
    """Return the schema of a list of `least` to `most` items."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def object_of(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with these properties, all of them and no others."""
    # The server's grammar lets the model invent further keys unless they are forbidden.
    fixed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": dict(properties), **fixed}
