"""Fits the weights of the calibrated selector to pools: `python -m benchmark.fit_selector POOL`.

Labels are read here, from the pools' grades; the solving stack gets the weights alone
(`atlas/selector_weights.json`), which say what they were made of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table

from atlas.cancellation import run_interruptible
from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.selection_api import Selection
from atlas.selector import WEIGHTS_FILE, Provenance, SelectorWeights
from benchmark.command import COMPLETE, carry_out
from benchmark.datasets.id_lists import refuse
from benchmark.lens_training.cross_scoring import cross_scored
from benchmark.results import digests
from benchmark.selection.fit import fit, rows
from benchmark.selection.lens import Lens, ask_each
from benchmark.selection.pools import PooledTask, load_pools
from benchmark.stored import write_atomic

EXAMPLES = """examples:
  python -m benchmark.fit_selector data/pools/train-small data/pools/train-large
  python -m benchmark.fit_selector data/pools/train --not-in splits.json#report --out mine.json
  python -m benchmark.fit_selector data/pools/train --lens span --lens surface      weigh energies as well

A pool is what benchmark.deep_pool recorded, its programs graded by benchmark.regrade. Measure the result on
other tasks: python -m benchmark.selection.
exit codes: 0 the weights are written; 1 could not run; 2 wrong arguments; 130 interrupted"""


class Fit(Contract):
    """The result, as the last line of JSON says it."""

    out: str
    weights: SelectorWeights


async def asked(tasks: Sequence[PooledTask]) -> list[Selection]:
    """Return what the lens makes of each task's clusters, in their order.

    Raises:
        InfrastructureError: the lens does not start, or does not answer.
    """

    async def weighed(lens: Lens, task: PooledTask) -> Selection:
        return await lens.select(task.entries, "calibrated", len(task.candidates))

    return await ask_each(tasks, weighed)


def fitted(options: argparse.Namespace) -> Fit:
    """Fit and write the weights.

    Raises:
        AtlasError: a pool cannot be read, or holds a task that is to be kept out.
    """
    tasks = load_pools(options.pools)
    refuse({task.task for task in tasks}, options.not_in)
    every = [*tasks, *(each for kind in options.lens for each in cross_scored(tasks, kind))]
    answers = run_interruptible(asked(every))
    ids = "\n".join(sorted({task.task for task in tasks}))
    data = digests(options.pools, grades=True)
    provenance = Provenance(
        note="labels: the official grader's verdicts on all tests of each task",
        command=shlex.join(["python", "-m", "benchmark.fit_selector", *sys.argv[1:]]),
        data={**data, "ids": hashlib.sha256(ids.encode()).hexdigest()},
        models=tuple(sorted({task.model for task in tasks})),
        n_tasks=0,
        n_clusters=0,
        date=datetime.now(timezone.utc).date().isoformat(),
    )
    try:
        weights = fit(rows(zip(every, answers, strict=True)), provenance).weights
    except ValueError as error:
        raise BadInput(str(error)) from error
    text = json.dumps(weights.model_dump(mode="json"), indent=1) + "\n"
    write_atomic(options.out, text)
    return Fit(out=str(options.out), weights=weights)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.fit_selector",
        description="Fit the selector's probabilities to recorded pools, and write the weights file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("pools", nargs="+", type=Path, metavar="POOL", help="a pool's directory")
    add(
        "--out",
        type=Path,
        default=WEIGHTS_FILE,
        metavar="FILE",
        help=f"the weights file [{WEIGHTS_FILE.name}]",
    )
    add("--not-in", action="append", default=[], metavar="FILE[#KEY]", help="refuse tasks with these ids")
    told = "ask about each task also with energies of this feature set, out of fold (trains; needs PyTorch)"
    add("--lens", action="append", default=[], choices=("span", "surface"), help=told)
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)
    result = carry_out(
        lambda: fitted(options), show, err, json=options.json, again="the same command begins anew"
    )
    return result if isinstance(result, int) else COMPLETE


def show(result: Fit, console: Console) -> None:
    """Print what the model weighs and how good it is out of fold."""
    table = Table("feature", "weight", title=f"{result.out}: weights per standard deviation")
    ordered = sorted(result.weights.features.items(), key=lambda item: -abs(item[1].weight))
    for name, feature in ordered:
        table.add_row(name, f"{feature.weight:+.3f}")
    console.print(table)
    said = ", ".join(f"{name} {value:.3f}" for name, value in result.weights.provenance.metrics.items())
    of = result.weights.provenance
    console.print(f"{of.n_tasks} tasks, {of.n_clusters} clusters; out of fold: {said}")


if __name__ == "__main__":
    sys.exit(main())
