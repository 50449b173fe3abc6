"""Which tasks of which data sets: one value that the runner, the ablation and the peers all read and keep.

    selection = Selection(dataset="livecodebench", release="v6", since="2024-08-01")
    loaded = load(selection, settings.data_dir)

`add_options` and `from_options` are its command line, `from_mapping` its place in a plan's TOML.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from atlas.contracts import Contract
from atlas.errors import BadInput
from benchmark.command import whole
from benchmark.datasets import catalogue
from benchmark.datasets.id_lists import read_ids
from benchmark.datasets.source import Item, Opened, Source
from benchmark.tasks import HiddenTests, Task

NAMED_AT_MOST = 5


class Selection(Contract):
    """Which tasks. Every filter narrows what the one before it left, in the order of the fields.

    Attributes:
        dataset: names of `benchmark.datasets.catalogue`, paths, or `name=path`: one, or several that are
            taken one after the other (a list, or one text with commas).
        release: a release of LiveCodeBench (`release_v6`: everything up to v6; `v6`: what v6 added; `v5_v6`).
        revision: the commit, branch or tag to download, instead of the pinned one.
        ids: a file of ids: a JSON list, one id a line, or `FILE#KEY` for one value of a JSON object, whose
            values are lists or objects of lists. Every id must be in the data.
        since: first day of the window, inclusive.
        until: last day of the window, inclusive. Tasks without a date are then left out, by name.
        limit: at most this many tasks; without `choose_seed` the first ones.
        choose_seed: choose the `limit` tasks at random instead. The choice depends only on seed and ids, and
            a larger limit keeps the tasks of a smaller one.
        without_examples: the solving stack is given no public examples; they are graded by as hidden tests.
            The statement keeps what it says of them.
    """

    dataset: tuple[str, ...] = ("bundled",)
    release: str | None = None
    revision: str | None = None
    ids: str | None = None
    since: date | None = None
    until: date | None = None
    limit: int | None = Field(default=None, ge=1)
    choose_seed: int | None = Field(default=None, ge=0)
    without_examples: bool = False

    @field_validator("dataset", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        parts = value if isinstance(value, (list, tuple)) else (value,)
        names = [n for part in parts for n in (part.split(",") if isinstance(part, str) else (part,))]
        stripped = [n.strip() if isinstance(n, str) else n for n in names]
        if not stripped or "" in stripped:
            raise ValueError("a name or path is empty")
        return tuple(stripped)

    @model_validator(mode="after")
    def _sensible(self) -> Selection:
        if self.choose_seed is not None and self.limit is None:
            raise ValueError("choose_seed chooses `limit` tasks at random, and there is no limit")
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"the window ends ({self.until}) before it begins ({self.since})")
        return self

    @property
    def label(self) -> str:
        """A short name for reports: data sets without their folders, and what narrows them."""
        parts = ["+".join(map(short_name, self.dataset))]
        parts += [self.release] if self.release else []
        parts += [f"ids {Path(self.ids).name}"] if self.ids else []
        if self.since or self.until:
            parts.append(f"{self.since or ''}..{self.until or ''}")
        if self.limit is not None:
            parts.append(f"first {self.limit}" if self.choose_seed is None else f"{self.limit} at random")
        parts += ["without examples"] if self.without_examples else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Loaded:
    """The tasks chosen, and what they were chosen from.

    Attributes:
        excluded: tasks that were asked for and cannot be had, by id, and why. Never silently dropped.
        sources: the files that were read, whole, with hash and number of rows.
    """

    selection: Selection
    tasks: tuple[Task, ...]
    sources: tuple[Source, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)


def load(selection: Selection, data_dir: Path = Path("data")) -> Loaded:
    """Find, check, choose and decode.

    Args:
        selection: which tasks.
        data_dir: where downloads are kept (below `datasets/`), and what is derived from them.

    Raises:
        BadInput: there is no such data set, a file is partial, empty or malformed (naming file, row and
            field), an id is not in the data or in two data sets, or nothing is left to measure.
        InfrastructureError: a download failed, or reference programs could not be run.
    """
    opened = [
        catalogue.opened(name, selection.release, selection.revision, data_dir) for name in selection.dataset
    ]
    owner = _owners(selection, opened)
    excluded = {name: why for part in opened for name, why in part.excluded.items()}
    items = [item for part in opened for item in part.items]
    if selection.ids is not None:
        wanted = read_ids(selection.ids)
        _all_there(selection.ids, wanted, owner.keys() | excluded.keys())
        items = [item for item in items if item.id in wanted]
        excluded = {name: why for name, why in excluded.items() if name in wanted}
    if selection.since or selection.until:
        excluded |= {i.id: "it has no date, and a window was asked for" for i in items if i.date is None}
        items = [item for item in items if item.date is not None and _within(item.date, selection)]
    chosen = {item.id for item in _limited(items, selection)}
    if not chosen:
        raise BadInput(f"{selection.label}: no task is left to measure")
    tasks = [task for part in opened for task in part.decode(chosen & {item.id for item in part.items})]
    if selection.without_examples:
        tasks = [_without_examples(task) for task in tasks]
    return Loaded(selection, tuple(tasks), tuple(s for part in opened for s in part.sources), excluded)


def short_name(dataset: str) -> str:
    """A data set's name as reports show it: a path without its folders, and without a loader's name."""
    return dataset if dataset in catalogue.NAMES else Path(dataset.split("=", 1)[-1]).name


def _without_examples(task: Task) -> Task:
    problem = task.problem.model_copy(update={"examples": ()})
    return replace(task, problem=problem, hidden=HiddenTests(task.grading_tests))


def _owners(selection: Selection, opened: Sequence[Opened]) -> dict[str, str]:
    owner: dict[str, str] = {}
    for name, part in zip(selection.dataset, opened, strict=True):
        for item in part.items:
            if item.id in owner:
                raise BadInput(f"{name}: the task {item.id} is also in {owner[item.id]}")
            owner[item.id] = name
    return owner


def _all_there(source: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    missing = sorted(set(wanted) - set(there))
    if missing:
        some = ", ".join(missing[:NAMED_AT_MOST]) + (", ..." if len(missing) > NAMED_AT_MOST else "")
        raise BadInput(f"{source}: {len(missing)} of its ids are in none of the data sets given: {some}")


def _within(day: date, selection: Selection) -> bool:
    return (selection.since or date.min) <= day <= (selection.until or date.max)


def _limited(items: Sequence[Item], selection: Selection) -> Sequence[Item]:
    if selection.limit is None or selection.choose_seed is None:
        return items[: selection.limit]

    def place(item: Item) -> bytes:
        return hashlib.sha256(f"{selection.choose_seed}:{item.id}".encode()).digest()

    return sorted(items, key=place)[: selection.limit]


# ---------------------------------------------------------------- from the command line, from TOML


def add_options(parser: argparse.ArgumentParser, *, dataset: str = "bundled") -> None:
    """Add the options that `from_options` reads. `dataset`: what is measured when none is named."""
    group = parser.add_argument_group(
        "tasks", f"data sets by name: {', '.join(sorted(catalogue.NAMES))} (see docs/DATASETS.md)"
    )
    add = group.add_argument
    add("--dataset", action="append", metavar="NAME|PATH|NAME=PATH", help=f"what to measure on [{dataset}]")
    add("--release", metavar="R", help="of LiveCodeBench: release_v6 (up to v6), v6 (its part), v5_v6")
    add("--revision", metavar="COMMIT", help="of a download, instead of the pinned one")
    add("--ids", metavar="FILE[#KEY]", help="only these: a JSON list, one id a line, or a key of an object")
    add("--since", type=_day, metavar="YYYY-MM-DD", help="only tasks from this day on")
    add("--until", type=_day, metavar="YYYY-MM-DD", help="only tasks up to this day")
    add("--limit", type=whole(1), metavar="N", help="the first N tasks only [all]")
    add("--choose-seed", type=whole(0), metavar="S", help="choose the N tasks of --limit at random by S")
    told = "show no public examples, grade by them as well"
    add("--without-examples", action="store_true", help=told)
    parser.set_defaults(dataset_default=dataset)


def from_options(options: argparse.Namespace) -> Selection:
    """The selection that parsed arguments describe.

    Raises:
        BadInput: options contradict each other.
    """
    given = {name: getattr(options, name) for name in Selection.model_fields}
    given["dataset"] = given["dataset"] or options.dataset_default
    return from_mapping({name: value for name, value in given.items() if value is not None})


def from_mapping(fields: Mapping[str, Any]) -> Selection:
    """The selection that a table of a plan describes; dates may be TOML's own or ISO texts.

    Raises:
        BadInput: an unknown field, or a wrong value; names the field.
    """
    try:
        return Selection.model_validate(dict(fields))
    except ValidationError as e:
        first = e.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "tasks"
        raise BadInput(f"{where}: {first['msg'].removeprefix('Value error, ')}") from e


def _day(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a day as YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day as YYYY-MM-DD") from e
