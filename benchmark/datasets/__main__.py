"""Shows what a selection of tasks holds, without measuring anything.

    python -m benchmark.datasets --dataset humaneval=HumanEval.jsonl.gz

Downloads and prepares what a run would, so a run that follows begins at once.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from atlas.config import load as load_settings
from atlas.contracts import Contract
from atlas.errors import AtlasError, BadInput
from benchmark.datasets.oddities import Oddity, of
from benchmark.datasets.selection import Loaded, add_options, from_options, load
from benchmark.datasets.source import Source
from benchmark.tasks import Task

EXAMPLES = """examples:
  python -m benchmark.datasets                                              the bundled tasks
  python -m benchmark.datasets --dataset livecodebench --release v6         download, check, count
  python -m benchmark.datasets --dataset mine.jsonl --json | jq .excluded   what cannot be graded, and why

exit codes: 0 shown; 1 there is no such data, or it is not whole; 2 wrong arguments"""


class OddTask(Contract):
    """A chosen task that is known to be odd."""

    task: str
    oddity: Oddity


class Listing(Contract):
    """What a selection holds. Counts are of the chosen tasks; `files` are told whole."""

    label: str
    tasks: int
    kinds: dict[str, int]
    platforms: dict[str, int]
    difficulties: dict[str, int]
    first_date: str | None
    last_date: str | None
    hidden_tests: int
    without_public_tests: int
    files: tuple[Source, ...]
    excluded: dict[str, str]
    odd: tuple[OddTask, ...]


def listing(loaded: Loaded) -> Listing:
    """Count what was loaded."""
    tasks = loaded.tasks
    dates = sorted(task.date for task in tasks if task.date is not None)
    return Listing(
        label=loaded.selection.label,
        tasks=len(tasks),
        kinds=_counts(task.problem.kind for task in tasks),
        platforms=_counts(task.platform or "unknown" for task in tasks),
        difficulties=_counts(task.difficulty or "unknown" for task in tasks),
        first_date=dates[0].isoformat() if dates else None,
        last_date=dates[-1].isoformat() if dates else None,
        hidden_tests=sum(len(task.hidden) for task in tasks),
        without_public_tests=sum(not task.problem.examples for task in tasks),
        files=loaded.sources,
        excluded=dict(loaded.excluded),
        odd=tuple(_odd(tasks)),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Show a selection and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.datasets",
        description="Show what a selection of benchmark tasks holds; nothing is measured.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="last line of stdout: all of it as one JSON object"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]"
    )
    options = parser.parse_args(argv)
    err = Console(stderr=True, soft_wrap=True)
    try:
        selection = from_options(options)
    except BadInput as error:
        parser.error(str(error))
    try:
        shown = listing(load(selection, load_settings(options.config).data_dir))
    except AtlasError as error:
        err.print(f"{error.title}: {error}", style="red", markup=False, highlight=False)
        return 1
    _show(shown, err if options.json else Console())
    if options.json:
        print(shown.model_dump_json(), flush=True)
    return 0


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _odd(tasks: Sequence[Task]) -> list[OddTask]:
    return [OddTask(task=task.id, oddity=oddity) for task in tasks if (oddity := of(task)) is not None]


def _show(shown: Listing, console: Console) -> None:
    table = Table(title=f"{shown.label}: {shown.tasks} tasks", show_header=False)
    for name, counts in (
        ("kinds", shown.kinds),
        ("platforms", shown.platforms),
        ("difficulties", shown.difficulties),
    ):
        table.add_row(name, ", ".join(f"{key} {count}" for key, count in counts.items()))
    table.add_row("dates", f"{shown.first_date} to {shown.last_date}" if shown.first_date else "none")
    table.add_row("hidden tests", str(shown.hidden_tests))
    table.add_row("without public tests", f"{shown.without_public_tests} tasks")
    for file in shown.files:
        at = f", commit {file.revision[:12]}" if file.revision else ""
        table.add_row("file", f"{file.file}: {file.rows} rows, sha256 {file.sha256[:12]}{at}")
    console.print(table)
    for task, reason in shown.excluded.items():
        console.print(f"left out: {task}: {reason}", markup=False, highlight=False, soft_wrap=True)
    for odd in shown.odd:
        said = f"odd: {odd.task}: {odd.oddity.kind}: {odd.oddity.reason}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
