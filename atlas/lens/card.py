"""The model card of weights: what they were made of and how good they are; `NAME.card.json` beside them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atlas.contracts import Contract
from atlas.lens.energy import WeightsIdentity
from atlas.lens.surface import Stage


class Estimate(Contract):
    """A figure with its 95% interval (tasks drawn again with replacement), over `n` tasks."""

    value: float
    low: float
    high: float
    n: int


class Ranker(Contract):
    """How one way of ordering a task's candidates does on tasks that have right and wrong ones.

    `auc`: how often a right candidate is put before a wrong one of its task, a tie counting half.
    `first_pick`: how often the first is right, by expectation over a tie. Each task weighs the same.
    """

    auc: Estimate
    first_pick: Estimate


class CardBin(Contract):
    """Candidates of about the same stated probability: how many, its mean, and the share that is right."""

    n: int
    stated: float
    right: float


class CalibrationFigures(Contract):
    """P(right) = 1 / (1 + exp(-(intercept + slope * energy))), fitted on training tasks, and its errors."""

    intercept: float
    slope: float
    brier: float
    brier_of_the_mean: float = Field(description="of stating the share that is right of all candidates")
    ece: float
    bins: tuple[CardBin, ...]


class CurvePoint(Contract):
    """Within-task AUC after training on so many tasks, over several draws of them.

    `low` to `high`: its 95% interval over the tasks measured; `least` to `most`: over the draws.
    """

    tasks: int
    candidates: int
    auc: float
    low: float
    high: float
    least: float
    most: float
    draws: int


class DifficultyFigures(Contract):
    """AUC of "the first candidate is right" over tasks, by the prompt's last state and by its length.

    `brier` is of the chance that the probe states.
    """

    probe: Estimate
    prompt_length: Estimate
    right: float = Field(description="share of tasks whose first candidate is right")
    brier: float
    brier_of_the_mean: float = Field(description="of stating that share for every task")


class Evaluation(Contract):
    """Figures on one set of tasks, none of which the weights that gave them were trained on.

    `tasks_by`: `folds` of the training tasks, or `report`, tasks kept for measuring. `stage`: what was known
    of a candidate: as it is `drawn`, after its `run`, or when all were `compared`; hidden states are `drawn`.
    `rankers` by name: `energy`, its rivals, and the simple rules. `energy_minus`: paired differences of AUC.
    """

    tasks_by: Literal["folds", "report"]
    stage: Stage
    tasks: int
    mixed: int
    candidates: int
    rankers: dict[str, Ranker]
    energy_minus: dict[str, Estimate]
    calibration: CalibrationFigures


class Card(Contract):
    """Everything about one weights file.

    `data`: sha256 of each pool's journals and grades by its name. `left_out`: candidates, of training and
    report tasks, whose span embedding is not known. `seconds`: wall time of the training.
    """

    identity: WeightsIdentity
    weights: str
    bytes: int
    command: str
    date: str
    data: dict[str, str]
    train_tasks: int
    train_mixed: int
    train_candidates: int
    left_out: int = 0
    epochs: int
    seed: int
    seconds: float
    versions: dict[str, str]
    evaluations: tuple[Evaluation, ...]
    learning_curve: tuple[CurvePoint, ...]
    difficulty: dict[Literal["folds", "report"], DifficultyFigures]
