"""Energies for training tasks by weights that never saw their labels, for fitting what uses energies.

Weights that were trained on a task know its labels: whatever is fitted to their energies of it would trust
them more than it should on other tasks. So each fold of the tasks is scored by weights that were trained on
the others (stacked generalisation, Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from atlas.errors import BadInput
from atlas.lens.vectors import SPAN_PARTS
from benchmark.lens_training.data import TrainedKind, identity_of, read_rows
from benchmark.lens_training.evaluation import folds, pairs
from benchmark.lens_training.network import import_torch, train
from benchmark.selection.energies import with_energies
from benchmark.selection.pools import PooledTask


def cross_scored(
    tasks: Sequence[PooledTask], kind: TrainedKind, seed: int = 0, parts: Sequence[str] = SPAN_PARTS
) -> list[PooledTask]:
    """Return the tasks with out-of-fold energies, of each model by weights of its own.

    A candidate is scored by what is known when it has been run, as a task with a spending rule does it.

    Raises:
        BadInput: a pool has no spans where they are needed, or a model has too few tasks.
        StartupError: PyTorch is not installed.
        InfrastructureError: a pool's samples cannot be read.
    """
    import_torch()
    found: dict[int, PooledTask] = {}
    for model in sorted({task.model for task in tasks}):
        places = [place for place, task in enumerate(tasks) if task.model == model]
        of_model = [tasks[place] for place in places]
        found.update(zip(places, _of_model(of_model, kind, seed, parts), strict=True))
    return [found[place] for place in range(len(tasks))]


def _of_model(
    tasks: Sequence[PooledTask], kind: TrainedKind, seed: int, parts: Sequence[str]
) -> list[PooledTask]:
    rows = read_rows(tasks, kind, parts)
    identity = identity_of(tasks, rows.features)
    energies = np.zeros(len(rows.right))
    try:
        with threadpool_limits(1):
            for rest, fold in folds(rows, seed):
                inside = np.isin(np.arange(len(rows.right)), rest)
                data, task_of = pairs(rows, inside)
                trained = train(data, seed, task_of=task_of)
                x = rows.x.get("run", rows.x["drawn"])  # of a span it is the same
                energies[fold] = trained.energies(x[fold], identity)
    except ValueError as error:
        raise BadInput(f"these pools of '{identity.model}' do not suffice for energies: {error}") from error
    values = iter(energies.tolist())
    # Rows are the programs of the tasks in their order.
    programs = [{c.id: next(values) for c in task.candidates if c.code is not None} for task in tasks]
    name = f"{kind}:out-of-fold"
    return [with_energies(task, of, name) for task, of in zip(tasks, programs, strict=True)]
