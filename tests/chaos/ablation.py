"""Kill -9 an ablation at seeded moments: `python -m tests.chaos.ablation`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.chaos import problems
from tests.chaos.ablation_run import CELLS, AblationRun, drive
from tests.chaos.ablation_verdict import ablation_differences, redrawn
from tests.chaos.command import bars, execute, parser_of
from tests.chaos.runner_moments import moments
from tests.chaos.verdict import duplicated, lost

ABOUT = """Carry out the same plan twice with `python -m benchmark.ablation`, on its own stack and a scripted
model server: two conditions that share their samples, with two seeds each. Once in peace, and once while it
is killed with -9 (half of the times with all that it started) at moments drawn from the seed, and started
again with the same command each time. Then compare the two directories, but for times, and count what went
wrong."""
EXAMPLES = """examples:
  python -m tests.chaos.ablation                              5 tasks in each of 4 runs, 20 kills
  python -m tests.chaos.ablation --tasks 2 --kills 3 --json | tail -n 1 | jq .redrawn

exit codes: 0 nothing was different, lost, submitted twice, duplicated, drawn again or left, and all kills
took place; 1 something was (the logs are kept; stderr says where), or it could not run; 2 wrong arguments;
130 interrupted"""


@dataclass(frozen=True)
class Figures:
    """The result. `different` to `stumbles` are 0 where a kill of an ablation changes nothing but the time.

    `different` counts fields of task records, of result.json and of the report's rows; `journals_differ`
    tasks whose journal in the run directory is not the gateway's; `redrawn` samples that the model server
    drew though the pool had them; `unfinished_files` what a kill in the middle of writing left. `phases`:
    kills by phase. `drawn`: samples asked of the model server, in the run in peace and under fire.
    """

    tasks: int
    runs: int
    kills: int
    seed: int
    phases: dict[str, int]
    drawn: tuple[int, int]
    different: int
    journals_differ: int
    lost: int
    submitted_twice: int
    duplicated: int
    redrawn: int
    unfinished_files: int
    left_running: int
    stumbles: int

    def clean(self, kills: int) -> bool:
        """Whether nothing is wrong, and there were as many kills as wanted."""
        wrong = (
            *(self.different, self.journals_differ, self.lost, self.submitted_twice, self.duplicated),
            *(self.redrawn, self.unfinished_files, self.left_running, self.stumbles),
        )
        return not any(wrong) and self.kills == kills


def figures(seed: int, calm: AblationRun, shaken: AblationRun) -> Figures:
    """Judge both: the one in peace must be as clean."""
    runs = (calm, shaken)
    ends = [run.finished for run in runs]
    cells = [cell for end in ends for cell in end.cells.values()]
    first, second = (sum(len(request.choices) for request in run.requests) for run in runs)
    return Figures(
        tasks=ends[1].records,
        runs=len(ends[1].cells),
        kills=sum(shaken.phases.values()),
        seed=seed,
        phases=dict(sorted(shaken.phases.items())),
        drawn=(first, second),
        different=len(ablation_differences(*ends)),
        journals_differ=sum(cell.journals_differ for cell in cells),
        lost=sum(lost(cell.tasks) for cell in cells),
        submitted_twice=sum(end.at_gateway - end.records for end in ends),
        duplicated=sum(duplicated(cell.tasks) for cell in cells),
        redrawn=sum(redrawn(run.requests, run.deaths, run.pool) for run in runs),
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
    planned = moments(options.kills, options.seed, own_stack=True)
    with bars(console, CELLS * options.tasks, options.kills) as (in_peace, under_fire):
        calm = await drive(requests, directory / "calm", progress=in_peace)
        shaken = await drive(requests, directory / "shaken", planned, progress=under_fire)
    for line in ablation_differences(calm.finished, shaken.finished):
        console.print(f"different: {line}", markup=False)
    for line in (*calm.finished.unfinished_files, *shaken.finished.unfinished_files):
        console.print(f"unfinished: {line}", markup=False)
    for line in (*calm.left, *shaken.left):
        console.print(f"left running: {line}", markup=False)
    return figures(options.seed, calm, shaken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    parser = parser_of("python -m tests.chaos.ablation", ABOUT, EXAMPLES, tasks=5)
    return execute(parser.parse_args(argv), both)


if __name__ == "__main__":
    sys.exit(main())
