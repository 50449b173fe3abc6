"""What the commands of this package have in common: arguments, progress, how they end."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from atlas.cancellation import Interrupted, run_interruptible
from atlas.errors import AtlasError

Shown = Callable[[int, int], object]  # hears of the tasks done and of the kills


class Result(Protocol):
    """A dataclass of figures."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def clean(self, kills: int) -> bool:
        """Whether nothing is wrong, and there were as many kills as wanted."""


def parser_of(prog: str, about: str, examples: str, tasks: int) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all have."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--tasks", type=_positive, default=tasks, metavar="N", help=f"tasks (default: {tasks})")
    add("--kills", type=_positive, default=20, metavar="K", help="kills (default: 20)")
    add("--seed", type=int, default=0, metavar="S", help="of problems and kills (default: 0)")
    add("--json", action="store_true", help="print the figures as one JSON object")
    return parser


@contextmanager
def bars(console: Console, tasks: int, kills: int) -> Iterator[tuple[Shown, Shown]]:
    """Show progress: yields what to tell in the run in peace, and in the one under fire."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        in_peace = progress.add_task("tasks without kills", total=tasks)
        under_fire = progress.add_task("tasks with kills", total=tasks, start=False)
        deaths = progress.add_task("kills", total=kills, start=False)

        def calm(done: int, _: int) -> None:
            progress.update(in_peace, completed=done)

        def shaken(done: int, killed: int) -> None:
            for bar, completed in ((under_fire, done), (deaths, killed)):
                if not progress.tasks[bar].started:
                    progress.start_task(bar)
                progress.update(bar, completed=completed)

        yield calm, shaken


def execute(
    options: argparse.Namespace, work: Callable[[argparse.Namespace, Path, Console], Awaitable[Result]]
) -> int:
    """Do the work in a directory of its own, print its figures, return the exit code."""
    console = Console(stderr=True)
    directory = Path(tempfile.mkdtemp(prefix="atlas-chaos-"))
    logging.basicConfig(filename=directory / "chaos.log", level="INFO", format="%(asctime)s %(message)s")

    async def working() -> Result:
        return await work(options, directory, console)

    try:
        result = run_interruptible(working())
    except (AtlasError, ValueError) as error:
        console.print(f"could not run: {error} (logs: {directory})", style="red", markup=False)
        return 1
    except Interrupted:
        console.print(f"interrupted (logs: {directory})", markup=False)
        return 130
    clean = result.clean(options.kills)
    if clean:
        shutil.rmtree(directory)
    else:
        console.print(f"not clean, or fewer kills than wanted; the logs are in {directory}", style="red")
    if options.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    else:
        Console().print(_table(result))
    return 0 if clean else 1


def _table(result: Result) -> Table:
    table = Table("", "figure")
    for name, value in asdict(result).items():
        told = ", ".join(f"{key} {n}" for key, n in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name.replace("_", " "), told)
    return table


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
