"""Trains C(x) with PyTorch: softplus of energy differences between right and wrong candidates of one task.

The loss is that of Burges et al. 2005 (RankNet), log(1 + exp(E(right) - E(wrong))), the mean over a task's
pairs and then over tasks: a task with many pairs counts as one. Tasks whose candidates are all right or all
wrong have no pair, and teach nothing. Training stops where the loss on tasks kept aside stops falling.

PyTorch is only needed here; the extra `lens-train` brings it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atlas.errors import StartupError
from atlas.lens.energy import CLIP, HIDDEN, LEAST_SCALE, EnergyModel, WeightsIdentity, shapes
from benchmark.lens_training.data import Floats, Ints, Matrix

if TYPE_CHECKING:
    import torch

MOST_EPOCHS = 80
PATIENCE = 10
TASKS_A_STEP = 16
LEARNING_RATE = 5e-4
WEIGHT_DECAY = 0.05
DROPOUT = 0.2
HELD_OUT = 0.2  # of the training tasks, to stop by
INSTALL = "pip install 'atlas[lens-train]' (PyTorch; some 0.2 GB, with its CUDA libraries 3 GB)"


@dataclass(frozen=True)
class Pairs:
    """What the loss sees: `x` (n, d), `right` (n), `group` (n): rows of one group are compared."""

    x: Matrix
    right: npt.NDArray[np.bool_]
    group: Ints

    def of(self, groups: Sequence[int] | Ints) -> Pairs:
        """Return the rows of these groups."""
        inside = np.isin(self.group, groups)
        return Pairs(self.x[inside], self.right[inside], self.group[inside])

    @property
    def mixed(self) -> list[int]:
        """Groups with right rows and wrong ones."""
        return [int(g) for g in np.unique(self.group) if 0 < self.right[self.group == g].mean() < 1]


@dataclass(frozen=True)
class Trained:
    """Tensors as `atlas.lens.energy.shapes` names them, and after how many epochs training stopped."""

    tensors: dict[str, Matrix]
    epochs: int

    def energies(self, x: Matrix, identity: WeightsIdentity) -> Floats:
        """Return the energies of rows (n, d) by these weights as they are kept, in float16."""
        kept = {name: value.astype(np.float16).astype(np.float32) for name, value in self.tensors.items()}
        kept["scale"] = np.maximum(kept["scale"], LEAST_SCALE)
        return EnergyModel(identity, "training", kept).of_rows(x).astype(float)


def import_torch() -> Any:  # noqa: ANN401 - a module that may not be there
    """Return PyTorch.

    Raises:
        StartupError: it is not installed; says how to.
    """
    try:
        import torch
    except ImportError as error:
        raise StartupError(f"training needs PyTorch: {INSTALL}") from error
    return torch


def train(data: Pairs, seed: int, *, task_of: Ints | None = None) -> Trained:
    """Train on a part of the groups and stop by the others.

    Args:
        data: rows of tasks.
        seed: of the split, the first weights and the order of tasks.
        task_of: by group the task it is of, where a task has several: they are held out together.

    Raises:
        ValueError: fewer than two tasks have right and wrong rows.
    """
    task_of = np.arange(int(data.group.max()) + 1) if task_of is None else task_of
    mixed = np.asarray(data.mixed)
    tasks = np.unique(task_of[mixed]) if len(mixed) else mixed
    if len(tasks) < 2:
        raise ValueError("there are fewer than two tasks with right and wrong candidates")
    shuffled = np.random.default_rng(seed).permutation(tasks)
    aside = shuffled[: max(1, round(HELD_OUT * len(tasks)))]
    inside = ~np.isin(task_of[mixed], aside)
    return _descend(data.of(mixed[inside]), data.of(mixed[~inside]), MOST_EPOCHS, seed)


def train_for(data: Pairs, epochs: int, seed: int) -> Trained:
    """Train on all groups for so many epochs: as many as were found to be best on others.

    Raises:
        ValueError: no task has right and wrong rows.
    """
    mixed = data.mixed
    if not mixed:
        raise ValueError("there is no task with right and wrong candidates")
    return _descend(data.of(mixed), None, epochs, seed)


def _descend(data: Pairs, aside: Pairs | None, epochs: int, seed: int) -> Trained:
    torch = import_torch()
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # beside other work a second one spins: 8 times the CPU seconds, twice the time
    mean = data.x.mean(axis=0)
    # As it will be kept: float16 must not move what the network was trained on.
    mean = mean.astype(np.float16).astype(np.float32)
    scale = np.maximum(data.x.std(axis=0), LEAST_SCALE).astype(np.float16).astype(np.float32)
    net = _network(torch, data.x.shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    inside = _prepared(torch, data, mean, scale)
    outside = _prepared(torch, aside, mean, scale) if aside is not None else None
    order = np.random.default_rng(seed + 1)
    best, best_loss, best_epoch = _state(net), float("inf"), 0
    for epoch in range(1, epochs + 1):
        net.train()
        for part in _steps(inside, order):
            optimiser.zero_grad()
            loss = _loss(torch, net, part)
            loss.backward()
            optimiser.step()
        if outside is None:
            best, best_epoch = _state(net), epoch
            continue
        net.eval()
        with torch.no_grad():
            found = float(_loss(torch, net, outside))
        if found < best_loss:
            best, best_loss, best_epoch = _state(net), found, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    return Trained(_tensors(best, mean, scale), max(1, best_epoch))


@dataclass(frozen=True)
class _Tensors:
    x: torch.Tensor
    right: torch.Tensor
    group: torch.Tensor


def _prepared(torch: Any, data: Pairs, mean: Matrix, scale: Matrix) -> _Tensors:  # noqa: ANN401
    x = np.clip((data.x - mean) / scale, -CLIP, CLIP).astype(np.float32)
    return _Tensors(torch.from_numpy(x), torch.from_numpy(data.right), torch.from_numpy(data.group))


def _steps(data: _Tensors, order: np.random.Generator) -> Iterator[_Tensors]:
    groups = order.permutation(np.unique(data.group.numpy()))
    for start in range(0, len(groups), TASKS_A_STEP):
        inside = np.flatnonzero(np.isin(data.group.numpy(), groups[start : start + TASKS_A_STEP]))
        yield _Tensors(data.x[inside], data.right[inside], data.group[inside])


def _loss(torch: Any, net: Any, data: _Tensors) -> Any:  # noqa: ANN401
    energies = net(data.x)[:, 0]
    pair = (data.group[:, None] == data.group[None, :]) & data.right[:, None] & ~data.right[None, :]
    first, second = pair.nonzero(as_tuple=True)
    losses = torch.nn.functional.softplus(energies[first] - energies[second])
    _, number, counts = torch.unique(data.group[first], return_inverse=True, return_counts=True)
    return (losses / counts[number]).sum() / len(counts)


def _network(torch: Any, dimension: int) -> Any:  # noqa: ANN401
    nn = torch.nn
    first, second = HIDDEN
    return nn.Sequential(
        nn.Linear(dimension, first),
        nn.SiLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(first, second),
        nn.SiLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(second, 1),
        nn.Softplus(),
    )


def _state(net: Any) -> dict[str, Matrix]:  # noqa: ANN401
    """Copy the parameters, shapes as the runtime has them (inputs first)."""
    found = [value.detach().numpy().copy() for value in net.parameters()]
    names = ("w1", "b1", "w2", "b2", "w3", "b3")
    return {name: value.T if name[0] == "w" else value for name, value in zip(names, found, strict=True)}


def _tensors(state: dict[str, Matrix], mean: Matrix, scale: Matrix) -> dict[str, Matrix]:
    tensors = {"mean": mean, "scale": scale, **state}
    return {name: tensors[name] for name in shapes(len(mean))}
