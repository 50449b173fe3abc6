"""Measures what scoring costs: `python -m benchmark.lens_speed`, milliseconds per candidate.

Random weights and vectors of the dimensions asked for; C(x)'s cost does not depend on their values. Vectors
are scored one by one and in batches, by the same call that the lens's service makes, checks included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from atlas.contracts import Contract
from atlas.lens.energy import EnergyModel, WeightsIdentity, shapes
from atlas.lens.feature_set import FeatureSet, FeatureVector
from benchmark.command import COMPLETE, carry_out, whole

EXAMPLES = """examples:
  python -m benchmark.lens_speed                         d = 896, 5120 and 15360
  python -m benchmark.lens_speed --dimension 4096 --batch 8 --json"""


class Timing(Contract):
    """Milliseconds per candidate in batches of `batch`: the median, the 95th percentile of `runs` calls."""

    dimension: int
    batch: int
    runs: int
    median_ms: float
    p95_ms: float


class Timings(Contract):
    """All that was measured."""

    timings: tuple[Timing, ...]


def measured(dimension: int, batch: int, runs: int) -> Timing:
    """Time so many calls of one batch size."""
    chance = np.random.default_rng(0)
    features = FeatureSet(kind="span", parts=("mean",), width=dimension)
    tensors = {
        name: chance.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes(dimension).items()
    }
    tensors["scale"] = np.ones(dimension, np.float32)
    identity = WeightsIdentity(model="random", model_sha256="0" * 64, features=features)
    model = EnergyModel(identity, "random", tensors)
    vectors = [
        FeatureVector(features, chance.normal(0, 1, dimension).astype(np.float32)) for _ in range(batch)
    ]
    seconds = []
    for run in range(runs + 3):
        began = time.perf_counter()
        model.energies(vectors)
        if run >= 3:  # the first calls wake the BLAS threads
            seconds.append((time.perf_counter() - began) / batch)
    return Timing(
        dimension=dimension,
        batch=batch,
        runs=runs,
        median_ms=median(seconds) * 1e3,
        p95_ms=float(np.quantile(seconds, 0.95)) * 1e3,
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.lens_speed",
        description="Measure how long C(x) takes on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--dimension", type=whole(1, 100_000), action="append", metavar="D", help="[896, 5120, 15360]")
    add("--batch", type=whole(1, 256), action="append", metavar="N", help="candidates a call [1, 4, 16]")
    add("--runs", type=whole(1, 10_000), default=200, metavar="N", help="calls of each [200]")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and return the exit code."""
    options = parse(argv)
    dimensions, batches = options.dimension or [896, 5120, 15_360], options.batch or [1, 4, 16]

    def work() -> Timings:
        return Timings(timings=tuple(measured(d, n, options.runs) for d in dimensions for n in batches))

    result = carry_out(work, show, Console(stderr=True), json=options.json)
    return result if isinstance(result, int) else COMPLETE


def show(result: Timings, console: Console) -> None:
    """Print the table."""
    table = Table("d", "batch", "ms per candidate", "95th percentile")
    for each in result.timings:
        numbers = f"{each.median_ms:.3f}", f"{each.p95_ms:.3f}"
        table.add_row(str(each.dimension), str(each.batch), *numbers)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
