"""What the difficulty signal is worth: `python -m benchmark.adaptive_k POOL --lens WEIGHTS`.

Two questions over recorded pools, neither of which draws anything. Does the prompt's last state tell that the
first sample will be right (AUC over tasks)? And how many tokens are saved, at equal accuracy, by drawing as
many samples as a problem is worth instead of as many for each? k is what maximises 1 - (1 - p)^k - cost * k,
p being the probe's chance that a sample is right: few for easy problems and for hopeless ones (Damani et al.
2024, arXiv:2410.04707). `cost` sweeps the trade; nothing is fitted here. The program is chosen by the lens's
calibrated selector from the first k samples.

Equal accuracy: uniform k is mixed from two values of k, as if a coin chose for each task, so that it reaches
exactly the accuracy that the rule reaches, with the fewest tokens. Tokens are those of the samples, k times
their mean in the task. Accuracy is of the program chosen, and once more of `any`: whether one of k samples is
right, by expectation over which k they are (Chen et al. 2021, arXiv:2107.03374), which varies far less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from atlas.cancellation import run_interruptible
from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.lens.card import Estimate
from atlas.lens.energy import EnergyModel
from atlas.lens.prompt_probe import speaks_of
from atlas.lens.vectors import drawings
from benchmark.command import COMPLETE, carry_out
from benchmark.lens_training.ranking import auc_over_tasks
from benchmark.selection.energies import models_of, weights_of
from benchmark.selection.lens import Lens, ask_each
from benchmark.selection.pools import PooledTask, load_pools
from benchmark.selection.spans import Spans
from benchmark.statistics import pass_at_k

COSTS = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)
RESAMPLES = 2000
Floats = npt.NDArray[np.float64]
Signal = Literal["probe", "known"]
By = Literal["chosen", "any"]
TellsBy = Literal["probe", "prompt_length"]
SIGNALS: tuple[Signal, ...] = ("probe", "known")
BYS: tuple[By, ...] = ("chosen", "any")

EXAMPLES = """examples:
  python -m benchmark.adaptive_k data/pools/report --lens data/lens/qwen2.5-coder-0.5b-span.safetensors
  python -m benchmark.adaptive_k data/pools/small data/pools/large --json | tail -n 1 | jq .adaptive

Pools as benchmark.deep_pool records them with the patched llama-server, graded by benchmark.regrade; of tasks
that the weights were not trained on.
exit codes: 0 done; 1 could not run; 2 wrong arguments; 130 interrupted"""


class Uniform(Contract):
    """As many samples for each task: tokens a task, and the share of solved tasks, by both counts."""

    k: int
    tokens: float
    accuracy: dict[By, float]


class Adapted(Contract):
    """k by the rule at one `cost`: its mean, tokens a task, accuracy.

    `signal`: whose p, the probe's, or `known`, the share of the task's samples that are right: a ceiling, for
    nobody knows it. `by`: what accuracy counts. `uniform_tokens`: what uniform k takes for that accuracy (at
    most what the largest k takes: where the rule is more accurate than any, what it saves is understated).
    `saved`: the share of these that the rule saves.
    """

    signal: Signal
    by: By
    cost: float
    mean_k: float
    tokens: float
    accuracy: float
    uniform_tokens: float
    saved: Estimate


class Result(Contract):
    """Both answers. `left_out`: tasks without a probe for their model or without a span.

    `auc_within`: comparing tasks of one platform and model alone, for data sets differ in length and in
    difficulty; empty where no platform has both right and wrong first samples.
    """

    n_tasks: int
    left_out: int
    weights: tuple[str, ...]
    first_right: float
    auc: dict[TellsBy, Estimate]
    auc_within: dict[TellsBy, Estimate]
    uniform: tuple[Uniform, ...]
    adaptive: tuple[Adapted, ...]


@dataclass(frozen=True)
class Measured:
    """Tasks (n): chances `p` of a right sample by whose they are.

    `group` numbers the task across pools, `kind` its platform and model; `first`: whether the first sample is
    right; `chars` of the statement. By k of `ks`, each (n, len(ks)): `tokens` of k samples, and `right` by
    what counts, 0 to 1.
    """

    ks: tuple[int, ...]
    p: dict[Signal, Floats]
    group: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]
    chars: Floats
    tokens: Floats
    right: dict[By, Floats]


@dataclass(frozen=True)
class Told:
    """A task and what its prompt's state tells: the chance that a sample is right, 0 to 1."""

    task: PooledTask
    p: float


def told_by(tasks: Sequence[PooledTask], weights: Sequence[EnergyModel]) -> list[Told]:
    """Return the tasks for which there is a probe and the prompt's state, with what it tells.

    Raises:
        InfrastructureError: a pool's samples cannot be read.
    """
    probes = {model.identity.model_sha256: model.probe for model in weights if model.probe is not None}
    sha256 = models_of(tasks)
    found = []
    with Spans() as spans:
        for task in tasks:
            probe = probes.get(sha256[task.pool, task.model] or "")
            if probe is None:
                continue
            made = drawings(entry.event for entry in task.entries)
            plain = (made.get(c.id) for c in task.candidates if speaks_of(c))
            span = next((s for drawing in plain if (s := spans.of(task, drawing)) is not None), None)
            if span is None or span.n_embd != len(probe.mean):
                continue
            found.append(Told(task, 1 - float(probe.failing(span.vector("prompt_last")[None])[0])))
    return found


async def chosen(lens: Lens, task: PooledTask, ks: Sequence[int]) -> list[float]:
    """Return for each k whether the program that is chosen from the first k candidates is right: 0 or 1.

    Raises:
        InfrastructureError: the lens does not answer.
    """
    found = []
    for k in ks:
        if any(c.code is not None for c in task.candidates[:k]):
            selection = await lens.select(task.entries, "calibrated", k)
            found.append(float(task.right[selection.decision.candidate]))
        else:
            found.append(0.0)
    return found


def measured(told: Sequence[Told], right: Sequence[Sequence[float]], ks: tuple[int, ...]) -> Measured:
    """Put what was asked about each task beside its tokens."""
    tasks = [each.task for each in told]
    kinds = [f"{task.platform} {task.model}" for task in tasks]
    spent = [np.mean([c.usage.tokens_out for c in task.candidates]) for task in tasks]
    counts = [(len(task.candidates), sum(task.right[c.id] for c in task.candidates)) for task in tasks]
    return Measured(
        ks=ks,
        p={"probe": np.asarray([each.p for each in told]), "known": np.asarray([c / n for n, c in counts])},
        group=_numbered([task.key for task in tasks]),
        kind=_numbered(kinds),
        first=np.asarray([task.right[task.candidates[0].id] for task in tasks]),
        chars=np.asarray([task.prompt_chars for task in tasks], float),
        tokens=np.outer(spent, ks),
        right={
            "chosen": np.asarray(right, float),
            "any": np.asarray([[pass_at_k(n, c, k) for k in ks] for n, c in counts]),
        },
    )


def places(p: Floats, ks: Sequence[int], cost: float) -> npt.NDArray[np.int64]:
    """Return which of `ks` the rule takes for each chance, shape (n,)."""
    k = np.asarray(ks, float)
    found: npt.NDArray[np.int64] = np.argmax(1 - (1 - p[:, None]) ** k - cost * k, axis=1)
    return found


def uniform_tokens(accuracy: float, tokens: Floats, accuracies: Floats) -> float:
    """Return the fewest tokens with which a mixture of two values of k is so accurate.

    What no k reaches costs what the most accurate does; drawing nothing is free, and never right.
    """
    x, y = np.append(0.0, tokens), np.append(0.0, accuracies)
    wanted = min(accuracy, float(y.max()))
    found = [
        x[i] if y[i] == y[j] else x[i] + (x[j] - x[i]) * (wanted - y[i]) / (y[j] - y[i])
        for i, j in product(range(len(x)), repeat=2)
        if y[i] <= wanted <= y[j]
    ]
    return float(min(found))


def adapted(data: Measured, signal: Signal, by: By, cost: float, seed: int = 0) -> Adapted:
    """Return what the rule comes to at one cost; the interval of `saved` is over tasks drawn again."""
    place = places(data.p[signal], data.ks, cost)
    every = np.arange(len(place))
    tokens, right = data.tokens[every, place], data.right[by][every, place]

    def saved(weight: Floats) -> float:
        uniform = uniform_tokens(float(weight @ right), weight @ data.tokens, weight @ data.right[by])
        spent = float(weight @ tokens)
        return 1 - spent / uniform if uniform > 0 else 0.0

    even = np.full(len(place), 1 / len(place))
    groups = len(np.unique(data.group))
    drawn = np.random.default_rng(seed).multinomial(groups, [1 / groups] * groups, size=RESAMPLES)
    found = [saved(weight / weight.sum()) for weight in drawn[:, data.group].astype(float)]
    low, high = np.quantile(found, (0.025, 0.975))
    return Adapted(
        signal=signal,
        by=by,
        cost=cost,
        mean_k=float(np.asarray(data.ks)[place].mean()),
        tokens=float(tokens.mean()),
        accuracy=float(right.mean()),
        uniform_tokens=uniform_tokens(float(right.mean()), even @ data.tokens, even @ data.right[by]),
        saved=Estimate(value=saved(even), low=float(low), high=float(high), n=groups),
    )


def summarise(data: Measured, weights: Sequence[str], left_out: int) -> Result:
    """Sum up what was measured.

    Raises:
        BadInput: all first samples are right, or none is: there is nothing to tell apart.
    """
    if data.first.all() or not data.first.any():
        raise BadInput("the first samples of these tasks are all right, or all wrong")
    scores: dict[TellsBy, Floats] = {"probe": 1 - data.p["probe"], "prompt_length": data.chars}
    right, wrong = (set(data.kind[first].tolist()) for first in (data.first, ~data.first))
    within = right & wrong
    return Result(
        n_tasks=len(data.first),
        left_out=left_out,
        weights=tuple(weights),
        first_right=float(data.first.mean()),
        auc={name: auc_over_tasks(data.first, values) for name, values in scores.items()},
        auc_within={
            name: auc_over_tasks(data.first, values, data.kind) for name, values in scores.items() if within
        },
        uniform=tuple(
            Uniform(
                k=k,
                tokens=float(data.tokens[:, i].mean()),
                accuracy={by: float(data.right[by][:, i].mean()) for by in BYS},
            )
            for i, k in enumerate(data.ks)
        ),
        adaptive=tuple(adapted(data, signal, by, cost) for by, signal, cost in product(BYS, SIGNALS, COSTS)),
    )


def replayed(pools: Sequence[Path], files: Sequence[Path], note: Callable[[str], object]) -> Result:
    """Answer both questions for pools.

    Raises:
        AtlasError: a pool or weights cannot be read, or have nothing to say about these tasks.
    """
    weights = weights_of(files)
    tasks = load_pools(pools)
    told = told_by(tasks, weights)
    if not told:
        raise BadInput("no task here has a probe for its model and its prompt's state: train --features span")
    most = min(len(each.task.candidates) for each in told)
    ks = tuple(2**i for i in range(most.bit_length()))
    note(f"{len(told)} tasks, k = {', '.join(map(str, ks))}")

    async def ask() -> list[list[float]]:
        return await ask_each(told, lambda lens, each: chosen(lens, each.task, ks))

    data = measured(told, run_interruptible(ask()), ks)
    names = [w.name for w in weights if w.probe is not None]
    return summarise(data, names, left_out=len(tasks) - len(told))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.adaptive_k",
        description="Measure, on recorded pools, what the prompt's state tells of a problem's difficulty.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("pools", nargs="+", type=Path, metavar="POOL", help="a pool's directory")
    told = "Lens weights with a probe, one file a model [those that ship]"
    add("--lens", action="append", default=[], type=Path, metavar="FILE", help=told)
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Result:
        return replayed(options.pools, options.lens, lambda said: err.print(said, markup=False))

    result = carry_out(work, show, err, json=options.json, again="the same command begins anew")
    return result if isinstance(result, int) else COMPLETE


def show(result: Result, console: Console) -> None:
    """Print the tables."""
    console.print(
        f"{result.n_tasks} tasks, {result.left_out} left out; first sample right: {result.first_right:.1%}"
    )
    for name, each in result.auc.items():
        console.print(f"AUC of it by {name}: {each.value:.3f} ({each.low:.3f} to {each.high:.3f})")
    for name, each in result.auc_within.items():
        said = f"AUC of it within a platform by {name}: {each.value:.3f} ({each.low:.3f} to {each.high:.3f})"
        console.print(said)
    for by in BYS:
        console.print(_table(result, by))


def _table(result: Result, by: By) -> Table:
    columns = ("k by", "mean k", "tokens", "accuracy", "uniform's tokens", "saved", "95%")
    table = Table(*columns, title=f"accuracy of {by}")
    for one in result.uniform:
        accuracy = f"{one.accuracy[by]:.1%}"
        table.add_row(f"uniform {one.k}", f"{one.k}", f"{one.tokens:.0f}", accuracy, "", "", "")
    for point in result.adaptive:
        if point.by == by:
            table.add_row(
                f"{point.signal}, cost {point.cost:g}",
                f"{point.mean_k:.1f}",
                f"{point.tokens:.0f}",
                f"{point.accuracy:.1%}",
                f"{point.uniform_tokens:.0f}",
                f"{point.saved.value:+.1%}",
                f"{point.saved.low:+.1%} to {point.saved.high:+.1%}",
            )
    return table


def _numbered(names: Sequence[str]) -> npt.NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.asarray([numbers[name] for name in names])


if __name__ == "__main__":
    sys.exit(main())
