"""The figures of a card: the energy, its rivals and the simple rules, on tasks they were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from sklearn.model_selection import GroupKFold

from atlas.lens.card import CalibrationFigures, CardBin, Evaluation
from atlas.lens.energy import WeightsIdentity
from atlas.lens.surface import Stage
from benchmark.lens_training.data import Floats, Ints, Matrix, Rows
from benchmark.lens_training.network import Pairs, Trained, train
from benchmark.lens_training.ranking import Bools, differences, ranker
from benchmark.lens_training.rivals import boosted_trees, linear_probe
from benchmark.statistics.calibration import (
    Platt,
    brier_score,
    calibration_error,
    equal_mass_bins,
    platt_of,
)

FOLDS = 5
LEARNED = ("energy", "linear_probe", "boosted_trees")
Scores = dict[str, Floats]


def folds(rows: Rows, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the numbers of the rows outside and inside of each fold; the rows of a task stay together.

    Raises:
        ValueError: there are fewer tasks than folds.
    """
    by_task = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    yield from by_task.split(rows.task, rows.right, rows.task)


def pairs(rows: Rows, inside: Bools | None = None) -> tuple[Pairs, Ints]:
    """Return the rows of every stage as what is trained on, and by group the task that it is of.

    A task has a group for each stage: a candidate that was run is not compared with one that was not.
    """
    inside = np.ones(len(rows.right), bool) if inside is None else inside
    count = len(rows.tasks)
    stages = list(rows.x.values())
    data = Pairs(
        x=np.concatenate([x[inside] for x in stages]),
        right=np.concatenate([rows.right[inside]] * len(stages)),
        group=np.concatenate([rows.task[inside] + count * i for i in range(len(stages))]),
    )
    return data, np.tile(np.arange(count), len(stages))


def out_of_fold(rows: Rows, identity: WeightsIdentity, seed: int) -> tuple[dict[Stage, Scores], list[int]]:
    """Return by stage the learned scores of every row by models that never saw its task, and their epochs.

    Raises:
        ValueError: there are fewer tasks than folds, or a fold leaves too few that are mixed.
    """
    found: dict[Stage, Scores] = {
        stage: {name: np.zeros(len(rows.right)) for name in LEARNED} for stage in rows.x
    }
    epochs = []
    for rest, fold in folds(rows, seed):
        inside = np.zeros(len(rows.right), bool)
        inside[rest] = True
        trained, scores = learned(rows, inside, ~inside, identity, seed)
        epochs.append(trained.epochs)
        for stage, by_name in scores.items():
            for name, values in by_name.items():
                found[stage][name][fold] = values
    return found, epochs


def learned(
    rows: Rows, inside: Bools, outside: Bools, identity: WeightsIdentity, seed: int
) -> tuple[Trained, dict[Stage, Scores]]:
    """Train the network and its rivals on rows `inside`, and return their scores of rows `outside`."""
    data, task_of = pairs(rows, inside)
    trained = train(data, seed, task_of=task_of)
    rivals = rivals_of(data, seed)
    return trained, {
        stage: {"energy": trained.energies(x[outside], identity)} | rivals(x[outside])
        for stage, x in rows.x.items()
    }


def rivals_of(data: Pairs, seed: int) -> Callable[[Matrix], Scores]:
    """Fit the rivals; return what gives each one's scores of rows (n, d)."""
    by_name = {"linear_probe": linear_probe(data), "boosted_trees": boosted_trees(data, seed)}
    return lambda x: {name: scores(x) for name, scores in by_name.items()}


def simple(rows: Rows, stage: Stage) -> Scores:
    """Return the scores of the rules that learn nothing; `examples` only where programs were run.

    Length is a rule either way: which of the two is better, the model decides.
    """
    found = {
        "length": rows.chars,
        "longer": -rows.chars,
        "logprob": -rows.logprob,
        "random": np.zeros(len(rows.right)),
    }
    return found | ({"examples": -rows.passed} if stage != "drawn" or len(rows.x) == 1 else {})


def evaluate(
    rows: Rows,
    stage: Stage,
    scores: Scores,
    tasks_by: Literal["folds", "report"],
    platt: Platt,
    stated: Floats,
) -> Evaluation:
    """Return the figures of one stage; `stated`: each row's calibrated probability.

    Raises:
        ValueError: no task has right and wrong candidates.
    """
    every = scores | simple(rows, stage)
    return Evaluation(
        tasks_by=tasks_by,
        stage=stage,
        tasks=len(rows.tasks),
        mixed=len(rows.mixed),
        candidates=len(rows.right),
        rankers={name: ranker(rows.task, rows.right, values) for name, values in every.items()},
        energy_minus=differences(rows.task, rows.right, every, "energy"),
        calibration=_calibration(rows.right, stated, platt),
    )


def cross_fitted(rows: Rows, energies: Floats, seed: int) -> Floats:
    """Return each row's probability by a Platt scaling that was fitted without its task."""
    stated = np.zeros(len(energies))
    for rest, fold in folds(rows, seed):
        stated[fold] = platt_of(energies[rest], rows.right[rest]).of(energies[fold])
    return stated


def _calibration(right: Bools, stated: Floats, platt: Platt) -> CalibrationFigures:
    truth = right.astype(float).tolist()
    bins = equal_mass_bins(stated.tolist(), truth)
    return CalibrationFigures(
        intercept=platt.intercept,
        slope=platt.slope,
        brier=brier_score(stated.tolist(), truth),
        brier_of_the_mean=brier_score([float(right.mean())] * len(truth), truth),
        ece=calibration_error(bins),
        bins=tuple(CardBin(n=b.n, stated=b.confidence, right=b.right) for b in bins),
    )
