"""Kill -9 at random moments, and see whether anything is lost, repeated or left: `python -m tests.chaos`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from atlas.cancellation import Interrupted, run_interruptible
from atlas.errors import AtlasError
from tests.chaos import problems
from tests.chaos.run import Run, run
from tests.chaos.schedule import TARGETS, schedule
from tests.chaos.verdict import different, duplicated, lost, repeated_calls

ABOUT = f"""Run the same tasks twice, on stacks of their own (`atlas up --processes`) with a scripted model
server: once in peace, and once while processes are killed with -9 at random moments, drawn from the seed
among {", ".join(TARGETS)} (`atlas up` itself).
Then compare how the tasks ended, and count what went wrong."""
EXAMPLES = """examples:
  python -m tests.chaos                                    10 tasks, 20 kills
  python -m tests.chaos --tasks 4 --kills 6 --seed 3       a short one
  python -m tests.chaos --json | tail -n 1 | jq .lost      one JSON object, the last line

exit codes: 0 nothing was different, lost, duplicated, repeated or left, and all kills took place; 1 something
was (the logs are kept; stderr says where), or it could not run; 2 wrong arguments; 130 interrupted"""


@dataclass(frozen=True)
class Figures:
    """The result. `different` to `left_running` are 0 where promise 3 is kept."""

    tasks: int
    kills: int
    seed: int
    different: int
    lost: int
    duplicated: int
    repeated_model_calls: int
    left_running: int

    def clean(self, kills: int) -> bool:
        """Whether nothing is wrong, and as many processes were killed as wanted."""
        wrong = self.different, self.lost, self.duplicated, self.repeated_model_calls, self.left_running
        return not any(wrong) and self.kills == kills


def figures(seed: int, calm: Run, shaken: Run) -> Figures:
    """Judge both runs: the one in peace must be as clean."""
    runs = (calm, shaken)
    return Figures(
        tasks=len(shaken.tasks),
        kills=len(shaken.kills),
        seed=seed,
        different=different(calm.tasks, shaken.tasks),
        lost=sum(lost(each.tasks) for each in runs),
        duplicated=sum(duplicated(each.tasks) for each in runs),
        repeated_model_calls=sum(repeated_calls(each.tasks, each.requests, each.kills) for each in runs),
        left_running=sum(len(each.left) for each in runs),
    )


async def both(tasks: int, kills: int, seed: int, directory: Path, console: Console) -> Figures:
    """Run in peace, then under fire, with a progress bar on `console`.

    Raises:
        InfrastructureError: from `run`.
    """
    requests = problems.requests(tasks, seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        in_peace = progress.add_task("tasks without kills", total=tasks)
        calm = await run(
            requests,
            directory / "calm",
            progress=lambda ended, _: progress.update(in_peace, completed=ended),
        )
        ends = progress.add_task("tasks with kills", total=tasks)
        deaths = progress.add_task("kills", total=kills)

        def show(ended: int, killed: int) -> None:
            progress.update(ends, completed=ended)
            progress.update(deaths, completed=killed)

        shaken = await run(
            requests, directory / "shaken", schedule(kills, seed, len(calm.requests)), progress=show
        )
    for line in (*calm.left, *shaken.left):
        console.print(f"left running: {line}", markup=False)
    return figures(seed, calm, shaken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=_positive, default=10, metavar="N", help="tasks (default: 10)")
    parser.add_argument("--kills", type=_positive, default=20, metavar="K", help="kills (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of problems and kills (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    directory = Path(tempfile.mkdtemp(prefix="atlas-chaos-"))
    logging.basicConfig(filename=directory / "chaos.log", level="INFO", format="%(asctime)s %(message)s")
    try:
        result = run_interruptible(both(options.tasks, options.kills, options.seed, directory, console))
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


def _table(result: Figures) -> Table:
    table = Table("", "figure")
    for name, value in asdict(result).items():
        table.add_row(name.replace("_", " "), str(value))
    return table


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
