"""From pools to weights with their card: folds for the figures, then all training tasks for what ships."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median_low

from threadpoolctl import threadpool_limits

from atlas.contracts import Contract
from atlas.errors import BadInput, InfrastructureError
from atlas.lens.card import Card, CurvePoint, Evaluation
from atlas.lens.energy import WeightsIdentity, name_of, to_bytes
from atlas.lens.surface import Stage
from atlas.lens.table import SUFFIX
from atlas.lens.vectors import SPAN_PARTS
from benchmark.datasets.id_lists import refuse
from benchmark.lens_training.card_text import markdown
from benchmark.lens_training.curve import learning_curve, plot
from benchmark.lens_training.data import (
    Floats,
    Matrix,
    Rows,
    TrainedKind,
    identity_of,
    read_rows,
)
from benchmark.lens_training.difficulty import difficulty, trained_probe
from benchmark.lens_training.evaluation import (
    FOLDS,
    Scores,
    cross_fitted,
    evaluate,
    out_of_fold,
    pairs,
    rivals_of,
)
from benchmark.lens_training.network import import_torch, train_for
from benchmark.results import digests
from benchmark.selection.pools import load_pools
from benchmark.statistics.calibration import Platt, platt_of
from benchmark.stored import write_atomic

WITH = ("torch", "scikit-learn", "numpy")
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Asked:
    """What to train. `kept_out`: lists of ids (`FILE#KEY`) of which no training task may be."""

    pools: tuple[Path, ...]
    report: tuple[Path, ...]
    kind: TrainedKind
    out: Path
    name: str | None = None
    parts: tuple[str, ...] = tuple(SPAN_PARTS)
    kept_out: tuple[str, ...] = ()
    seed: int = 0
    curve: bool = True


class Result(Contract):
    """What was written."""

    weights: str
    card: str
    name: str
    report: Card


def carry_out(asked: Asked, tell: Tell = lambda _: None) -> Result:
    """Train, measure, and write weights and card. What is there of the same name is replaced.

    Raises:
        BadInput: a pool cannot be used, holds too little, or a task that is to be kept out.
        StartupError: PyTorch is not installed.
        InfrastructureError: a file cannot be read or written.
    """
    began = time.monotonic()
    import_torch()
    identity, rows, report = _read(asked, tell)
    try:
        # Beside other work the threads of a pool wait for each other, spinning.
        with threadpool_limits(1):
            evaluations, epochs, tensors, curve = _train(asked, identity, rows, report, tell)
            probe = trained_probe(rows)
            told = difficulty(rows, report, probe)
    except ValueError as error:
        raise BadInput(f"these pools do not suffice: {error}") from error
    identity = identity.model_copy(update={"auc": _auc_as_drawn(evaluations)})
    content = to_bytes(identity, tensors | (probe.tensors() if probe else {}))
    path = asked.out / f"{asked.name or f'{identity.model}-{asked.kind}'}{SUFFIX}"
    card = Card(
        identity=identity,
        weights=name_of(content, identity),
        bytes=len(content),
        command=_command(),
        date=datetime.now(timezone.utc).date().isoformat(),
        data=digests((*asked.pools, *asked.report), grades=True),
        train_tasks=len(rows.tasks),
        train_mixed=len(rows.mixed),
        train_candidates=len(rows.right),
        left_out=rows.left_out + (report.left_out if report else 0),
        epochs=epochs,
        seed=asked.seed,
        seconds=round(time.monotonic() - began, 1),
        versions={name: version(name) for name in WITH},
        evaluations=tuple(evaluations),
        learning_curve=curve,
        difficulty=told,
    )
    _write(path, content)
    picture = path.with_suffix(".svg")
    if curve:
        _write(picture, plot(curve, f"Learning curve: {identity.model}, {asked.kind}").encode())
    else:
        picture.unlink(missing_ok=True)
    _write(path.with_suffix(".card.json"), (card.model_dump_json(indent=1) + "\n").encode())
    _write(path.with_suffix(".card.md"), markdown(card, picture.name if curve else None).encode())
    return Result(weights=str(path), card=str(path.with_suffix(".card.md")), name=card.weights, report=card)


def _read(asked: Asked, tell: Tell) -> tuple[WeightsIdentity, Rows, Rows | None]:
    tell("reading the pools")
    tasks, measured = load_pools(asked.pools), load_pools(asked.report)
    refuse({task.task for task in tasks}, asked.kept_out)
    rows = read_rows(tasks, asked.kind, asked.parts)
    identity = identity_of([*tasks, *measured], rows.features)
    if not measured:
        return identity, rows, None
    report = read_rows(measured, asked.kind, asked.parts)
    if report.features != rows.features:
        raise BadInput(f"the report pools are of {report.features.name}, not {rows.features.name}")
    if both := sorted(set(rows.tasks) & set(report.tasks)):
        raise BadInput(f"{len(both)} tasks are in pools to train on and to report on (first: {both[0]})")
    return identity, rows, report


def _train(
    asked: Asked, identity: WeightsIdentity, rows: Rows, report: Rows | None, tell: Tell
) -> tuple[list[Evaluation], int, dict[str, Matrix], tuple[CurvePoint, ...]]:
    needed = 2 * FOLDS
    if len(rows.mixed) < needed:
        raise ValueError(
            f"{len(rows.mixed)} tasks have right and wrong candidates; {needed} are the least, some hundred "
            "are of use"
        )
    tell(f"{len(rows.right)} candidates of {len(rows.tasks)} tasks, {len(rows.mixed)} of them mixed")
    tell(f"training out of fold, {FOLDS} folds by task")
    scores, epochs_of_folds = out_of_fold(rows, identity, asked.seed)
    evaluations, platts = [], {}
    for stage, by_name in scores.items():
        energies = by_name["energy"]
        platts[stage] = platt_of(energies, rows.right)
        stated = cross_fitted(rows, energies, asked.seed)
        evaluations.append(evaluate(rows, stage, by_name, "folds", platts[stage], stated))
    tell("training on all tasks")
    epochs = median_low(epochs_of_folds)
    data, _ = pairs(rows)
    trained = train_for(data, epochs, asked.seed)
    if report is not None:
        tell("measuring on the report tasks")
        rivals = rivals_of(data, asked.seed)
        for stage, x in report.x.items():
            energies = trained.energies(x, identity)
            by_name = {"energy": energies, **rivals(x)}
            evaluations.append(_reported(report, stage, by_name, platts[stage], energies))
    curve: tuple[CurvePoint, ...] = ()
    if asked.curve:
        tell("drawing the learning curve")
        curve = learning_curve(rows, report, identity, next(iter(rows.x)), asked.seed)
    return evaluations, epochs, trained.tensors, curve


def _reported(report: Rows, stage: Stage, scores: Scores, platt: Platt, energies: Floats) -> Evaluation:
    return evaluate(report, stage, scores, "report", platt, platt.of(energies))


def _auc_as_drawn(evaluations: Sequence[Evaluation]) -> float:
    """Return how well the energy orders candidates of tasks that were kept out, before any is run."""
    by_folds = next(e for e in evaluations if (e.tasks_by, e.stage) == ("folds", "drawn"))
    return by_folds.rankers["energy"].auc.value


def _command() -> str:
    """The command as a person types it, whichever way it came."""
    return shlex.join(["atlas", "lens", "train", *sys.argv[1:]])


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise InfrastructureError(f"cannot write {path}: {error.strerror}") from error
