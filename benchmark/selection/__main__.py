"""`python -m benchmark.selection POOL`: how well each selector chooses, and what its confidence is worth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from atlas.cancellation import run_interruptible
from atlas.contracts import Energy
from atlas.errors import BadInput
from benchmark.command import COMPLETE, carry_out, whole
from benchmark.selection import plots
from benchmark.selection.energies import scored, weights_of
from benchmark.selection.lens import ask_each
from benchmark.selection.pools import PooledTask, load_pools
from benchmark.selection.selectors import Scored, score
from benchmark.selection.summary import Summary, summarise

EXAMPLES = """examples:
  python -m benchmark.selection data/pools/bundled-k16-s0
  python -m benchmark.selection data/pools/small data/pools/large     both models, paired by task
  python -m benchmark.selection data/pools/small --k 4 --json | tail -n 1 | jq .selectors.full
  python -m benchmark.selection data/pools/small --lens data/lens/small-span.safetensors
                                                        what energies of these weights add

A pool is what benchmark.deep_pool recorded, its programs graded by benchmark.regrade.
Where a model's Lens weights ship, or with --lens, the candidates are scored too, and choosing with energies
is compared with choosing without. Measure on tasks that the weights were not trained on.
exit codes: 0 done; 1 could not run; 2 wrong arguments; 130 interrupted"""


async def measured(
    tasks: Sequence[PooledTask], with_energies: Sequence[PooledTask | None], console: Console
) -> list[Scored]:
    """Score every selector on every task, in their order.

    Args:
        tasks: as they were recorded.
        with_energies: the same with the energies of their candidates, None where there are none.
        console: for the progress bar.

    Raises:
        InfrastructureError: the lens does not start, or does not answer.
    """
    columns = (TextColumn("tasks"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=len(tasks))
        pairs = list(zip(tasks, with_energies, strict=True))
        return await ask_each(pairs, lambda lens, pair: score(lens, *pair), lambda: bar.advance(shown))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.selection",
        description="Measure how well programs are chosen without an answer key, on recorded pools.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("pools", nargs="+", type=Path, metavar="POOL", help="a pool's directory")
    parser.add_argument(
        "--k", type=whole(1, 64), metavar="N", help="only the first N candidates of each task"
    )
    parser.add_argument(
        "--json", action="store_true", help="last line of stdout: the result as one JSON object"
    )
    told = "Lens weights to score candidates with, one file a model [those that ship]"
    parser.add_argument("--lens", action="append", default=[], type=Path, metavar="FILE", help=told)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw accuracy and reliability")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Summary:
        tasks = load_pools(options.pools, options.k)
        if not tasks:
            raise BadInput("no task of these pools has a program to choose")
        with_energies = scored(tasks, weights_of(options.lens))
        if options.lens and not any(with_energies):
            raise BadInput(
                "these weights score no task of these pools: of another model, or no spans were kept"
            )
        result = summarise(run_interruptible(measured(tasks, with_energies, err)), _used(with_energies))
        if options.plot:
            plots.save(result, options.plot)
        return result

    result = carry_out(work, show, err, json=options.json, again="the same command begins anew")
    return result if isinstance(result, int) else COMPLETE


def _used(tasks: Sequence[PooledTask | None]) -> dict[str, tuple[str, ...]]:
    """The names of the weights whose energies these are, by model."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        for candidate in task.candidates if task else ():
            if task and isinstance(candidate.energy, Energy):
                found.setdefault(task.model, set()).add(candidate.energy.weights)
    return {model: tuple(sorted(names)) for model, names in sorted(found.items())}


def show(result: Summary, console: Console) -> None:
    """Print the table."""
    table = Table(
        "selector", "accuracy", "95%", "recovered", "95%", title=f"{result.n_tasks} tasks, k = {result.k}"
    )
    table.add_row("pass@1", f"{result.pass_at_1:.1%}", "", "0", "")
    for name, each in result.selectors.items():
        low, high = each.interval
        gap = each.recovered_interval
        table.add_row(
            name,
            f"{each.accuracy:.1%}",
            f"{low:.1%} to {high:.1%}",
            "" if each.recovered is None else f"{each.recovered:.2f}",
            "" if gap is None else f"{gap[0]:.2f} to {gap[1]:.2f}",
        )
    table.add_row("oracle", f"{result.oracle:.1%}", "", "1", "")
    console.print(table)
    for difference in result.full_minus:
        low, high = difference.interval
        console.print(
            f"full - {difference.minus}: {difference.difference:+.1%} ({low:+.1%} to {high:+.1%}), paired"
        )
    _show_energy(result, console)
    console.print(f"confidence: Brier {result.brier:.3f}, ECE {result.ece:.3f} over {len(result.bins)} bins")


def _show_energy(result: Summary, console: Console) -> None:
    if result.energy is None:
        return
    for name, gain in result.energy.selectors.items():
        low, high = gain.interval
        said = (
            f"{name} with energies: {gain.accuracy:.1%}, {gain.difference:+.1%} ({low:+.1%} to {high:+.1%})"
        )
        if gain.recovered_interval is not None:
            low, high = gain.recovered_interval
            said += f"; recovered {gain.recovered:.2f}, {gain.recovered_difference:+.2f}"
            said += f" ({low:+.2f} to {high:+.2f})"
        console.print(f"{said}, paired, {result.energy.n_tasks} tasks")


if __name__ == "__main__":
    sys.exit(main())
