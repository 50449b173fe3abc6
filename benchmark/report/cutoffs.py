"""When a model's training data end, from a small dated file with a source for each entry (`cutoffs.json`)."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from importlib import resources

from atlas.contracts import Contract


class Cutoff(Contract):
    """A model family and the last day its training data can hold. `match` begins the names it is for."""

    match: str
    date: date
    source: str
    note: str = ""


class Cutoffs(Contract):
    """The file. `read` is the day its sources were read."""

    about: str
    read: date
    models: tuple[Cutoff, ...]


@cache
def known() -> Cutoffs:
    """Return every cut-off of the file."""
    text = resources.files("benchmark.report").joinpath("cutoffs.json").read_text(encoding="utf-8")
    return Cutoffs.model_validate_json(text)


def cutoff_of(model: str) -> Cutoff | None:
    """Return a model's cut-off by the longest match of its name; None where no source states one."""
    name = _plain(model.rpartition("/")[2])
    found = [each for each in known().models if name.startswith(_plain(each.match))]
    return max(found, key=lambda each: len(each.match), default=None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
