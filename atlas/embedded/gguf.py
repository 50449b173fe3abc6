"""The few facts of a GGUF file's header: how much memory it will need, and which tokens it has.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from atlas.errors import ModelFileError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class Header:
    """Sizes of a model: all counts, no bytes."""

    architecture: str
    layers: int
    kv_width: int
    vocabulary: int
    context: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers, as 16-bit floats."""
        return 2 * 2 * self.layers * self.kv_width


@dataclass(frozen=True)
class Vocabulary:
    """A model's tokens, in order of their ids.

    `marks` are the tokens a text begins and ends with, None where the model wants none.
    """

    kind: str
    tokens: tuple[str, ...]
    marks: tuple[int | None, int | None]


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the tokens (0.2 s for 150 000 of them).

    Raises:
        ModelFileError: the file is no GGUF file or ends early.
    """
    values = _read(path, whole={"tokenizer.ggml.tokens"})
    tokens = values.get("tokenizer.ggml.tokens")

    def mark(name: str) -> int | None:
        token = values.get(f"tokenizer.ggml.{name}_token_id")
        return token if isinstance(token, int) and values.get(f"tokenizer.ggml.add_{name}_token") else None

    return Vocabulary(
        kind=str(values.get("tokenizer.ggml.model", "none")),
        tokens=tuple(map(str, tokens)) if isinstance(tokens, list) else (),
        marks=(mark("bos"), mark("eos")),
    )


def read_header(path: Path) -> Header:
    """Read the header (a few MB at most, most of it skipped).

    Raises:
        ModelFileError: the file is no GGUF file or ends early.
    """
    values = _read(path)
    architecture = str(values.get("general.architecture", ""))

    def number(key: str, default: int = 0) -> int:
        value = values.get(f"{architecture}.{key}", default)
        return int(value) if isinstance(value, (int, float)) else default

    heads = number("attention.head_count", 1)
    head = number("attention.key_length") or number("embedding_length") // max(1, heads)
    tokens = values.get("tokenizer.ggml.tokens", 0)
    return Header(
        architecture=architecture,
        layers=number("block_count"),
        kv_width=head * number("attention.head_count_kv", heads),
        vocabulary=int(tokens) if isinstance(tokens, int) else 0,
        context=number("context_length"),
    )


def _read(path: Path, whole: Collection[str] = ()) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return _metadata(file, whole)
    except (struct.error, OSError, KeyError, OverflowError) as error:
        raise ModelFileError(f"{path}: its GGUF header cannot be read ({error}); pull it again") from error


def _metadata(file: BinaryIO, whole: Collection[str]) -> dict[str, object]:
    magic, _version, _tensors, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF":
        raise OSError(f"it begins with {magic!r}")
    values: dict[str, object] = {}
    for _ in range(count):
        key = _string(file)
        (kind,) = struct.unpack("<I", file.read(4))
        values[key] = _value(file, kind, whole=key in whole)
    return values


def _value(file: BinaryIO, kind: int, *, whole: bool = False) -> object:
    """Read a value; of an array only its length is kept, or as a list if it is wanted `whole`."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        form = "<" + _SCALARS[kind]
        return struct.unpack(form, file.read(struct.calcsize(form)))[0]
    inner, length = struct.unpack("<IQ", file.read(12))
    if whole:
        return [_value(file, inner) for _ in range(length)]
    if inner in _SCALARS:
        file.seek(length * struct.calcsize("<" + _SCALARS[inner]), 1)
    else:
        for _ in range(length):
            _value(file, inner)
    return length


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > 1 << 24:
        raise OSError("a string of more than 16 MB: a damaged header")
    return file.read(length).decode("utf-8", "replace")
