"""Makes a report of runs: one self-contained HTML page, and its tables as Markdown beside it.

    python -m benchmark.report data/runs/bundled-A-s0            # report.html and report.md in that directory
    python -m benchmark.report RUN_A RUN_B RUN_D --out reports   # conditions compared, task by task
    python -m benchmark.report ABLATION --json                   # every run of an ablation; one JSON object

Nothing is run or graded here. Runs may still be at work: the report says how far they are. Open report.html
in any browser; it needs no network. A regrade (python -m benchmark.regrade RUN) adds where both checkers
disagree and what selection lost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from atlas.config import load
from benchmark.command import COMPLETE, carry_out
from benchmark.cost import Price, price_of
from benchmark.datasets import selection
from benchmark.datasets.selection import Selection
from benchmark.report.gather import rates_in_words
from benchmark.report.make import Made, make
from benchmark.results import RunResults, described, load_runs

HTML, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    runs: list[Path]
    out: Path | None
    dataset: str | None
    price_per_kwh: float | None
    currency: str | None
    config: Path | None
    json: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0 made, 1 not made."""
    options = parse(sys.argv[1:] if argv is None else argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Made:
        runs = _described(load_runs(options.runs), options.dataset)
        return make(runs, options.out or options.runs[0], err, _price(options))

    made = carry_out(work, _show, err, json=options.json)
    return made if isinstance(made, int) else COMPLETE


def _show(made: Made, console: Console) -> None:
    said = f"{rates_in_words(made.conditions)}\n{made.html}\n{made.markdown}"
    console.print(said, markup=False, highlight=False)


def parse(argv: Sequence[str]) -> Options:
    """Read the arguments; exits with a message where they are wrong."""
    about = (__doc__ or "").strip()
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.report",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run's directory, or an ablation's with all its runs",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the pages go [the first RUN]")
    parser.add_argument(
        "--dataset",
        metavar="NAMES",
        help="data sets to take difficulty, platform and date from, where a run noted none",
    )
    parser.add_argument(
        "--price-per-kwh", type=_amount, metavar="P", help="what a kilowatt-hour costs [PRICE_PER_KWH]"
    )
    parser.add_argument("--currency", metavar="C", help="what P is in [CURRENCY]")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF]")
    parser.add_argument("--json", action="store_true", help="last line of stdout: one JSON object")
    return Options(**vars(parser.parse_args(argv)))


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price from 0")
    return amount


def _described(runs: list[RunResults], dataset: str | None) -> list[RunResults]:
    """Add what the data say of each task; nothing else of them is kept."""
    if dataset is None:
        return runs
    tasks = selection.load(Selection.model_validate({"dataset": dataset})).tasks
    return [described(run, tasks) for run in runs]


def _price(options: Options) -> Price | None:
    given = {"price_per_kwh": options.price_per_kwh, "currency": options.currency}
    changes = {key: value for key, value in given.items() if value is not None}
    return price_of(load(options.config).model_copy(update=changes))


if __name__ == "__main__":
    sys.exit(main())
