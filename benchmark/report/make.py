"""Gathers runs and writes their pages: what the command does, and an ablation at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from atlas.contracts import Contract
from atlas.errors import InfrastructureError
from benchmark.cost import Price
from benchmark.report.content import ConditionRow, PairRow, PartRow, Report
from benchmark.report.gather import gather
from benchmark.report.pages import html_page, markdown_page
from benchmark.results import RunResults
from benchmark.stored import write_atomic

HTML, MARKDOWN = "report.html", "report.md"


class Made(Contract):
    """Where the pages are, and their main numbers.

    Rates, intervals and differences are shares of 1; see the types of the rows.
    """

    html: str
    markdown: str
    warnings: tuple[str, ...]
    conditions: tuple[ConditionRow, ...]
    pairs: tuple[PairRow, ...]
    parts: tuple[PartRow, ...]


def make(runs: Sequence[RunResults], out: Path, console: Console, price: Price | None = None) -> Made:
    """Write the report of these runs into `out`; progress is shown on the console.

    Raises:
        InfrastructureError: a run cannot be read, or the directory not be written to.
    """
    return _write(_gathered(runs, console, price), out)


def _gathered(runs: Sequence[RunResults], err: Console, price: Price | None) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("reading runs", total=None)

        def tick(what: str, done: int, of: int) -> None:
            progress.update(bar, description=what, completed=done, total=of)

        return gather(runs, tick, price)


def _write(report: Report, out: Path) -> Made:
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
    return Made(
        html=str(out / HTML),
        markdown=str(out / MARKDOWN),
        warnings=report.warnings,
        conditions=report.conditions,
        pairs=report.pairs,
        parts=report.parts,
    )
