"""The learning curve: how good the energy is after training on more and more tasks, as numbers and a plot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from atlas.lens.card import CurvePoint
from atlas.lens.energy import WeightsIdentity
from atlas.lens.surface import Stage
from benchmark.lens_training.data import Rows
from benchmark.lens_training.evaluation import folds, pairs
from benchmark.lens_training.network import train
from benchmark.lens_training.ranking import by_task, estimate
from benchmark.report.drawing import Theme, draw

SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
DRAWS = 3
LEAST_MIXED = 4


def learning_curve(
    train_rows: Rows, report: Rows | None, identity: WeightsIdentity, stage: Stage, seed: int
) -> tuple[CurvePoint, ...]:
    """Train on growing shares of the tasks with right and wrong candidates, each drawn `DRAWS` times.

    Measured on the report tasks; without any, on a fold of the training tasks that is kept aside. A share of
    fewer than `LEAST_MIXED` tasks is left out.
    """
    if report is None:
        rest, fold = next(folds(train_rows, seed))
        there = set(train_rows.task[rest].tolist())
        measured, rows = fold, train_rows
    else:
        there, measured, rows = set(range(len(train_rows.tasks))), np.arange(len(report.right)), report
    usable = [task for task in train_rows.mixed if task in there]
    points = []
    for share in SHARES:
        count = round(share * len(usable))
        if count < LEAST_MIXED:
            continue
        found = []
        for draw_number in range(DRAWS):
            chosen = np.random.default_rng(seed + draw_number).choice(usable, count, replace=False)
            data, task_of = pairs(train_rows, train_rows.of_tasks(chosen.tolist()))
            trained = train(data, seed + draw_number, task_of=task_of)
            energies = trained.energies(rows.x[stage][measured], identity)
            found.append(by_task(rows.task[measured], rows.right[measured], energies)[0])
        if not found[0]:  # a fold kept aside without a task that has right and wrong candidates
            return ()
        means = [float(np.mean(aucs)) for aucs in found]
        over_tasks = estimate([float(each) for each in np.mean(found, axis=0)], (0.0, 1.0))
        points.append(
            CurvePoint(
                tasks=count,
                candidates=int(train_rows.of_tasks(chosen.tolist()).sum()),
                auc=over_tasks.value,
                low=over_tasks.low,
                high=over_tasks.high,
                least=min(means),
                most=max(means),
                draws=DRAWS,
            )
        )
    return tuple(points)


def plot(points: Sequence[CurvePoint], title: str) -> str:
    """Return the curve as SVG, for light pages."""

    def paint(axes: Sequence[Axes], theme: Theme) -> None:
        (ax,) = axes
        tasks = [point.tasks for point in points]
        ax.fill_between(
            tasks,
            [p.least for p in points],
            [p.most for p in points],
            color=theme.good,
            alpha=0.2,
            linewidth=0,
        )
        ax.plot(tasks, [p.auc for p in points], marker="o", color=theme.good)
        ax.axhline(0.5, color=theme.faint, linestyle="--", linewidth=1)
        ax.set_xlabel("tasks trained on that have right and wrong candidates")
        ax.set_ylabel("within-task AUC")

    said = ", ".join(f"{point.auc:.2f} with {point.tasks}" for point in points)
    caption = f"Mean and range of {DRAWS} draws of tasks; the dashed line is chance."
    return draw("lens-curve", title, caption, f"within-task AUC by training tasks: {said}", paint).light
