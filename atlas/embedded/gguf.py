"""A GGUF file without its weights: the metadata, how large each tensor is, and which tokens the model has.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little-endian).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from atlas.errors import ModelFileError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONG_ARRAY = 4096  # longer ones are about tokens, shorter ones about layers
_ALIGNMENT = 32  # where general.alignment says nothing else


@dataclass(frozen=True)
class Contents:
    """The metadata by key, and the bytes that each tensor takes by name.

    An array of strings, or of more than 4096 numbers, is there as its length only.
    """

    values: Mapping[str, object]
    tensors: Mapping[str, int]


@dataclass(frozen=True)
class Vocabulary:
    """A model's tokens, in order of their ids.

    `marks` are the tokens a text begins and ends with, None where the model wants none.
    """

    kind: str
    tokens: tuple[str, ...]
    marks: tuple[int | None, int | None]


def read_contents(path: Path) -> Contents:
    """Read all but the weights (a few MB, most of it skipped).

    Raises:
        ModelFileError: the file is no GGUF file or ends early.
    """
    return _read(path)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the tokens (0.2 s for 150 000 of them).

    Raises:
        ModelFileError: the file is no GGUF file or ends early.
    """
    values = _read(path, whole={"tokenizer.ggml.tokens"}).values
    tokens = values.get("tokenizer.ggml.tokens")

    def mark(name: str) -> int | None:
        token = values.get(f"tokenizer.ggml.{name}_token_id")
        return token if isinstance(token, int) and values.get(f"tokenizer.ggml.add_{name}_token") else None

    return Vocabulary(
        kind=str(values.get("tokenizer.ggml.model", "none")),
        tokens=tuple(map(str, tokens)) if isinstance(tokens, list) else (),
        marks=(mark("bos"), mark("eos")),
    )


def _read(path: Path, whole: Collection[str] = ()) -> Contents:
    try:
        with path.open("rb") as file:
            magic, _version, tensors, count = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF":
                raise OSError(f"it begins with {magic!r}")
            values = _metadata(file, count, whole)
            return Contents(values, _tensors(file, tensors, values.get("general.alignment")))
    except (struct.error, OSError, KeyError, OverflowError) as error:
        raise ModelFileError(f"{path}: its GGUF header cannot be read ({error}); pull it again") from error


def _metadata(file: BinaryIO, count: int, whole: Collection[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for _ in range(count):
        key = _string(file)
        (kind,) = struct.unpack("<I", file.read(4))
        values[key] = _value(file, kind, whole=key in whole)
    return values


def _value(file: BinaryIO, kind: int, *, whole: bool = False) -> object:
    """Read a value; of a long array only its length is kept, or a list if it is wanted `whole`."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        form = "<" + _SCALARS[kind]
        return struct.unpack(form, file.read(struct.calcsize(form)))[0]
    inner, length = struct.unpack("<IQ", file.read(12))
    if whole or (inner in _SCALARS and length <= _LONG_ARRAY):
        return [_value(file, inner) for _ in range(length)]
    if inner in _SCALARS:
        file.seek(length * struct.calcsize("<" + _SCALARS[inner]), 1)
    else:
        for _ in range(length):
            _value(file, inner)
    return length


def _tensors(file: BinaryIO, count: int, alignment: object) -> dict[str, int]:
    """Return each tensor's bytes, up to the next one: so no type's block size need be known."""
    offsets: dict[str, int] = {}
    for _ in range(count):
        name = _string(file)
        (dimensions,) = struct.unpack("<I", file.read(4))
        file.seek(8 * dimensions + 4, 1)  # its shape and type
        (offsets[name],) = struct.unpack("<Q", file.read(8))
    align = alignment if isinstance(alignment, int) and alignment > 0 else _ALIGNMENT
    data = -(-file.tell() // align) * align
    ordered = sorted(offsets, key=offsets.__getitem__)
    ends = [offsets[name] for name in ordered[1:]] + [os.fstat(file.fileno()).st_size - data]
    if ordered and ends[-1] <= offsets[ordered[-1]]:
        raise OSError("it ends before its last tensor")
    return {name: end - offsets[name] for name, end in zip(ordered, ends, strict=False)}


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > 1 << 24:
        raise OSError("a string of more than 16 MB: a damaged header")
    return file.read(length).decode("utf-8", "replace")
