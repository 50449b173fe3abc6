"""docs/CONFIGURATION.md from the settings' model and from the comments of atlas.conf.example."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path

import annotated_types
from pydantic.fields import FieldInfo

from atlas.config import Settings

INTRODUCTION = """\
# Settings

Generated from the code by `scripts/generate_docs.py`.

One file, `atlas.conf`: `$ATLAS_CONF`, else the one in the working directory; `atlas.conf.example` has every
default, to begin with. Each line is `KEY=value` as a shell reads it: no blanks around `=`, quotes around a
value with blanks. A variable `ATLAS_<KEY>` overrides its key. Relative paths in the file are relative to the
file, those in variables to the working directory. An empty value means "not set". An unknown key, or a value
that cannot be, stops whatever reads it, with the line and what is wrong. On a cluster, `settings` in the
chart's values are the same keys in camelCase.

```bash
cp atlas.conf.example atlas.conf    # every key with its default; change what you need
ATLAS_LOG_LEVEL=debug atlas doctor  # a variable, for one run
```
"""
_SECTION = re.compile(r"# ---- (.+) ----")
_KEY = re.compile(r"([A-Z_]+)=(.*)")
_NAMES = {str: "text", int: "whole number", float: "number", Path: "path"}


def markdown(example: Path) -> str:
    """Return the whole document."""
    sections = [INTRODUCTION]
    comment: list[str] = []
    for line in example.read_text(encoding="utf-8").splitlines():
        if section := _SECTION.fullmatch(line):
            sections.append(f"## {section[1].capitalize()}\n")
            comment = []
        elif key := _KEY.fullmatch(line):
            sections.append(_described(key[1], key[2], comment))
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            comment = []  # what stands apart is no key's
    return "\n".join(sections)


def _described(key: str, default: str, comment: list[str]) -> str:
    about = f"{_type(Settings.model_fields[key.lower()])}; {f'default `{default}`' if default else 'not set'}"
    return f"### {key}\n\n*{about}*\n\n" + "\n".join(comment) + "\n"


def _type(field: FieldInfo) -> str:
    kinds = [_kind(each) for each in _alternatives(field.annotation)]
    return " or ".join(kinds) + _bounds(field)


def _alternatives(annotation: object) -> list[object]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [each for each in typing.get_args(annotation) if each is not type(None)]
    return [annotation]


def _kind(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *bounds = typing.get_args(annotation)
        return _kind(inner) + _limits(bounds)
    return _NAMES[typing.cast("type", annotation)]


def _bounds(field: FieldInfo) -> str:
    return _limits(field.metadata)


def _limits(metadata: typing.Iterable[object]) -> str:
    said = []
    for bound in metadata:
        if isinstance(bound, annotated_types.Ge):
            said.append(f"from {bound.ge}")
        elif isinstance(bound, annotated_types.Gt):
            said.append(f"over {bound.gt}")
        elif isinstance(bound, annotated_types.Le):
            said.append(f"up to {bound.le}")
        elif isinstance(bound, annotated_types.MaxLen):
            said.append(f"up to {bound.max_length} characters")
    return "".join(f" {each}" for each in said)
