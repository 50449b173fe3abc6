"""Kill -9 the benchmark's runner at seeded moments: `python -m tests.chaos.runner`."""

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
from tests.chaos.runner_moments import moments
from tests.chaos.runner_run import RunnerRun, drive
from tests.chaos.runner_verdict import differences
from tests.chaos.verdict import duplicated, lost, repeated_calls

ABOUT = """Measure the same tasks twice with benchmark/v3_runner.py and a scripted model server: once in
peace, and once while the runner is killed with -9 at moments drawn from the seed, and started again with the
same command each time. The moments are spread over its life: start, submit, wait, grade, write, and the end.
Then compare the two run directories, but for times, and count what went wrong."""
EXAMPLES = """examples:
  python -m tests.chaos.runner                                20 tasks, 20 kills, a stack that runs on
  python -m tests.chaos.runner --own-stack --kills 8 --tasks 8   each life starts a stack and takes it along
  python -m tests.chaos.runner --json | tail -n 1 | jq .different

exit codes: 0 nothing was different, lost, submitted twice, duplicated, repeated or left, and all kills took
place; 1 something was (the logs are kept; stderr says where), or it could not run; 2 wrong arguments; 130
interrupted"""


@dataclass(frozen=True)
class Figures:
    """The result. `different` to `stumbles` are 0 where a kill of the runner changes nothing but the time.

    `different` counts fields of task records and of result.json; `journals_differ` tasks whose journal in
    the run directory is not the gateway's; `unfinished_files` what a kill in the middle of writing left.
    `phases`: kills by phase.
    """

    tasks: int
    kills: int
    seed: int
    own_stack: bool
    phases: dict[str, int]
    different: int
    journals_differ: int
    lost: int
    submitted_twice: int
    duplicated: int
    repeated_model_calls: int
    unfinished_files: int
    left_running: int
    stumbles: int

    def clean(self, kills: int) -> bool:
        """Whether nothing is wrong, and there were as many kills as wanted."""
        wrong = (
            *(self.different, self.journals_differ, self.lost, self.submitted_twice, self.duplicated),
            *(self.repeated_model_calls, self.unfinished_files, self.left_running, self.stumbles),
        )
        return not any(wrong) and self.kills == kills


def figures(seed: int, own_stack: bool, calm: RunnerRun, shaken: RunnerRun) -> Figures:
    """Judge both runs: the one in peace must be as clean."""
    runs = (calm, shaken)
    ends = [run.finished for run in runs]
    return Figures(
        tasks=len(ends[1].records),
        kills=sum(shaken.phases.values()),
        seed=seed,
        own_stack=own_stack,
        phases=dict(sorted(shaken.phases.items())),
        different=len(differences(*ends)),
        journals_differ=sum(end.journals_differ for end in ends),
        lost=sum(lost(end.tasks) for end in ends),
        submitted_twice=sum(end.at_gateway - len(end.records) for end in ends),
        duplicated=sum(duplicated(end.tasks) for end in ends),
        repeated_model_calls=sum(
            repeated_calls(run.finished.tasks, run.requests, run.stack_kills) for run in runs
        ),
        unfinished_files=sum(len(end.unfinished_files) for end in ends),
        left_running=sum(len(run.left) for run in runs),
        stumbles=sum(run.stumbles for run in runs),
    )


async def both(options: argparse.Namespace, directory: Path, console: Console) -> Figures:
    """Run in peace, then under fire, with a progress bar on `console`.

    Raises:
        InfrastructureError: from `drive`.
    """
    requests = problems.requests(options.tasks, options.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        in_peace = progress.add_task("tasks without kills", total=options.tasks)
        calm = await drive(
            requests,
            directory / "calm",
            condition=options.condition,
            progress=lambda done, _: progress.update(in_peace, completed=done),
        )
        ends = progress.add_task("tasks with kills", total=options.tasks)
        deaths = progress.add_task("kills", total=options.kills)

        def show(done: int, killed: int) -> None:
            progress.update(ends, completed=done)
            progress.update(deaths, completed=killed)

        shaken = await drive(
            requests,
            directory / "shaken",
            moments(options.kills, options.seed, own_stack=options.own_stack),
            condition=options.condition,
            own_stack=options.own_stack,
            progress=show,
        )
    for line in differences(calm.finished, shaken.finished):
        console.print(f"different: {line}", markup=False)
    for line in (*calm.left, *shaken.left):
        console.print(f"left running: {line}", markup=False)
    return figures(options.seed, options.own_stack, calm, shaken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.runner",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--tasks", type=_positive, default=20, metavar="N", help="tasks (default: 20)")
    add("--kills", type=_positive, default=20, metavar="K", help="kills (default: 20)")
    add("--seed", type=int, default=0, metavar="S", help="of problems and kills (default: 0)")
    add("--condition", default="full", metavar="POLICY", help="what is measured (default: full)")
    add("--own-stack", action="store_true", help="the runner starts the stack, each time, and takes it along")
    add("--json", action="store_true", help="print the figures as one JSON object")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    directory = Path(tempfile.mkdtemp(prefix="atlas-chaos-"))
    logging.basicConfig(filename=directory / "chaos.log", level="INFO", format="%(asctime)s %(message)s")
    try:
        result = run_interruptible(both(options, directory, console))
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
        told = ", ".join(f"{key} {n}" for key, n in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name.replace("_", " "), told)
    return table


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
