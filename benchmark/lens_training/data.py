"""Candidates as numbers: features from pools' journals and samples, labels from their grades.

Labels are known here and nowhere in the solving stack. A candidate without a program is left out: no task
asks for its score, and that it is wrong is no merit to have found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from atlas.errors import BadInput
from atlas.lens.energy import WeightsIdentity
from atlas.lens.feature_set import FeatureSet
from atlas.lens.surface import STAGES, Stage, surface_of
from atlas.lens.vectors import drawings, feature_set_of, vector_of
from atlas.state import TaskState, fold
from benchmark.selection.energies import models_of
from benchmark.selection.pools import PooledTask
from benchmark.selection.spans import Spans

TrainedKind = Literal["span", "surface"]
Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Candidates: `x` by stage, each (n, d); all else (n). `task` numbers the names in `tasks`.

    `chars` of the program, mean `logprob` (-inf where unknown), share of public examples `passed` (0 where it
    was not run). `prompts`: by task the prompt's last state, for spans, and `prompt_chars` its length;
    `first`: whether the task's first candidate is right, and `share`: how many of all its candidates are.
    `left_out`: candidates whose span embedding is not known.
    """

    features: FeatureSet
    x: Mapping[Stage, Matrix]
    right: npt.NDArray[np.bool_]
    task: Ints
    tasks: tuple[str, ...]
    chars: Floats
    logprob: Floats
    passed: Floats
    prompts: Matrix | None = None
    prompt_chars: Floats | None = None
    first: npt.NDArray[np.bool_] | None = None
    share: Floats | None = None
    left_out: int = 0

    def of_tasks(self, numbers: Iterable[int]) -> npt.NDArray[np.bool_]:
        """Return which rows are of these tasks, shape (n,)."""
        return np.isin(self.task, list(numbers))

    @property
    def mixed(self) -> list[int]:
        """Numbers of the tasks that have right candidates and wrong ones."""
        return [t for t in range(len(self.tasks)) if 0 < self.right[self.task == t].mean() < 1]


def read_rows(tasks: Sequence[PooledTask], kind: TrainedKind, parts: Sequence[str]) -> Rows:
    """Turn the tasks of pools into rows.

    Args:
        tasks: of graded pools, all of one model. A task that several pools have is one, with the candidates
            of all.
        kind: of the features.
        parts: of a span.

    Raises:
        BadInput: no candidate, none with its span, or candidates of several sets.
        InfrastructureError: a pool's samples cannot be read.
    """
    found = _Collected()
    with Spans() as spans:
        for task in tasks:
            _read_task(found, task, kind, parts, spans)
    if not found.right:
        raise BadInput(
            f"no candidate of {tasks[0].pool} has a span embedding: record the pool with the patched "
            "llama-server (LLAMA_SERVER=) and --spans, or train the 'surface' set"
            if found.left_out
            else "these pools hold no candidate with a program"
        )
    return found.rows()


def identity_of(tasks: Sequence[PooledTask], features: FeatureSet) -> WeightsIdentity:
    """Return what weights trained on tasks of these pools are for.

    Raises:
        BadInput: the pools are of several models, or nothing tells the sha256 of its file.
        InfrastructureError: what a pool is of cannot be read.
    """
    known = {(name, sha256) for (_, name), sha256 in models_of(tasks).items()}
    if len(known) != 1:
        raise BadInput(f"weights are for one model; these pools are of {sorted(name for name, _ in known)}")
    ((model, sha256),) = known
    if not sha256:
        raise BadInput(
            f"nothing tells the sha256 of '{model}': record the pool with benchmark.deep_pool on a stack of "
            "its own (without --target), which notes it"
        )
    return WeightsIdentity(model=model, model_sha256=sha256, features=features)


def _read_task(
    found: _Collected, task: PooledTask, kind: TrainedKind, parts: Sequence[str], spans: Spans
) -> None:
    made = drawings(entry.event for entry in task.entries)
    state = fold(TaskState(), task.entries)
    number = found.number(task.task)
    for candidate in task.candidates:
        if candidate.code is None:
            continue
        if kind == "span":
            span = spans.of(task, made.get(candidate.id))
            if span is None:  # its text has other tokens than were drawn, say (benchmark.recorded.read_spans)
                found.left_out += 1
                continue
            found.sets.add(feature_set_of(span, parts))
            found.x["drawn"].append(vector_of(span, parts).values)
            if number not in found.prompts:
                right = [task.right[each.id] for each in task.candidates]
                found.prompts[number] = Prompt(
                    span.vector("prompt_last"), float(task.prompt_chars), right[0], sum(right) / len(right)
                )
        else:
            for stage in STAGES:
                surface = surface_of(state, candidate, stage)
                found.sets.add(feature_set_of(surface))
                found.x[stage].append(vector_of(surface).values)
        found.right.append(task.right[candidate.id])
        found.task.append(number)
        found.chars.append(float(len(candidate.code)))
        found.logprob.append(candidate.logprob.mean if candidate.logprob else float("-inf"))
        found.passed.append(task.passed.get(candidate.id, 0.0))


class Prompt(NamedTuple):
    """A task's prompt, its last state and length, and what came of it: the first one right, share right."""

    state: Matrix
    chars: float
    first: bool
    share: float


class _Collected:
    """Rows as they come."""

    def __init__(self) -> None:
        self.sets: set[FeatureSet] = set()
        self.x: dict[Stage, list[Matrix]] = {stage: [] for stage in STAGES}
        self.right: list[bool] = []
        self.task: list[int] = []
        self.chars: list[float] = []
        self.logprob: list[float] = []
        self.passed: list[float] = []
        self.prompts: dict[int, Prompt] = {}
        self.left_out = 0
        self._numbers: dict[str, int] = {}

    def number(self, task: str) -> int:
        return self._numbers.setdefault(task, len(self._numbers))

    def rows(self) -> Rows:
        if len(self.sets) != 1:
            raise BadInput(f"vectors of different sets: {', '.join(sorted(s.name for s in self.sets))}")
        (features,) = self.sets
        # A task none of whose candidates holds a program has a number and no row: it is left out.
        kept = sorted(set(self.task))
        renumbered = {old: new for new, old in enumerate(kept)}
        names = list(self._numbers)
        prompts = [self.prompts[old] for old in kept if old in self.prompts]
        return Rows(
            features=features,
            x={stage: np.stack(rows) for stage, rows in self.x.items() if rows},
            right=np.asarray(self.right, dtype=bool),
            task=np.asarray([renumbered[t] for t in self.task]),
            tasks=tuple(names[old] for old in kept),
            chars=np.asarray(self.chars),
            logprob=np.asarray(self.logprob),
            passed=np.asarray(self.passed),
            prompts=np.stack([each.state for each in prompts]) if prompts else None,
            prompt_chars=np.asarray([each.chars for each in prompts]) if prompts else None,
            first=np.asarray([each.first for each in prompts]) if prompts else None,
            share=np.asarray([each.share for each in prompts]) if prompts else None,
            left_out=self.left_out,
        )
