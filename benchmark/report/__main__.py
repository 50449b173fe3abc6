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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from atlas.contracts import Contract
from atlas.errors import AtlasError, InfrastructureError
from benchmark.cost import Price
from benchmark.datasets import selection
from benchmark.datasets.selection import Selection
from benchmark.report.content import ConditionRow, PairRow, Report
from benchmark.report.gather import gather, rates_in_words
from benchmark.report.pages import html_page, markdown_page
from benchmark.results import RunResults, described, load_runs
from benchmark.run_store import write_atomic

COMPLETE, FAILED = 0, 1
HTML, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    runs: list[Path]
    out: Path | None
    dataset: str | None
    price_per_kwh: float | None
    currency: str
    json: bool


class Result(Contract):
    """What `--json` ends with. Rates, intervals and differences are shares of 1; see the two rows' types."""

    html: str
    markdown: str
    warnings: tuple[str, ...]
    conditions: tuple[ConditionRow, ...]
    pairs: tuple[PairRow, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0 made, 1 not made."""
    options = parse(sys.argv[1:] if argv is None else argv)
    err = Console(stderr=True, soft_wrap=True)
    try:
        runs = _described(load_runs(options.runs), options.dataset)
        report = _gathered(runs, err, _price(options))
        made = _write(report, options.out or options.runs[0])
    except AtlasError as error:
        err.print(f"{error.title}: {error}", style="red", markup=False, highlight=False)
        return FAILED
    said = f"{rates_in_words(report.conditions)}\n{made.html}\n{made.markdown}"
    (err if options.json else Console(soft_wrap=True)).print(said, markup=False, highlight=False)
    if options.json:
        print(made.model_dump_json(), flush=True)
    return COMPLETE


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
        "--price-per-kwh", type=_amount, metavar="P", help="what a kilowatt-hour costs [costs are not stated]"
    )
    parser.add_argument("--currency", default="EUR", metavar="C", help="what P is in [EUR]")
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
    if options.price_per_kwh is None:
        return None
    return Price(per_kwh=options.price_per_kwh, currency=options.currency)


def _gathered(runs: Sequence[RunResults], err: Console, price: Price | None) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("reading runs", total=None)

        def tick(what: str, done: int, of: int) -> None:
            progress.update(bar, description=what, completed=done, total=of)

        return gather(runs, tick, price)


def _write(report: Report, out: Path) -> Result:
    """Write both pages and the plots of the Markdown one.

    Raises:
        InfrastructureError: the directory cannot be written to.
    """
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    footer = f"Made {made} by python -m benchmark.report of ATLAS {version('atlas')}."
    plots = {plot.name: f"report-{plot.name}.svg" for plot in report.plots}
    files: Mapping[str, str] = {
        **{plots[plot.name]: plot.light for plot in report.plots},
        MARKDOWN: markdown_page(report, footer, HTML, plots),
        HTML: html_page(report, footer),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomic(out / name, text)
    except OSError as error:
        raise InfrastructureError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
    return Result(
        html=str(out / HTML),
        markdown=str(out / MARKDOWN),
        warnings=report.warnings,
        conditions=report.conditions,
        pairs=report.pairs,
    )


if __name__ == "__main__":
    sys.exit(main())
