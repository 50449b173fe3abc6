"""Kill -9 the benchmark's runner at seeded moments: `python -m tests.chaos.runner`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.chaos import problems
from tests.chaos.command import bars, execute, parser_of
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
        different=len(differences(ends[0], ends[1])),
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
    with bars(console, options.tasks, options.kills) as (in_peace, under_fire):
        calm = await drive(requests, directory / "calm", condition=options.condition, progress=in_peace)
        shaken = await drive(
            requests,
            directory / "shaken",
            moments(options.kills, options.seed, own_stack=options.own_stack),
            condition=options.condition,
            own_stack=options.own_stack,
            progress=under_fire,
        )
    for line in differences(calm.finished, shaken.finished):
        console.print(f"different: {line}", markup=False)
    for line in (*calm.left, *shaken.left):
        console.print(f"left running: {line}", markup=False)
    return figures(options.seed, options.own_stack, calm, shaken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    parser = parser_of("python -m tests.chaos.runner", ABOUT, EXAMPLES, tasks=20)
    add = parser.add_argument
    add("--condition", default="full", metavar="POLICY", help="what is measured (default: full)")
    add("--own-stack", action="store_true", help="the runner starts the stack, each time, and takes it along")
    return execute(parser.parse_args(argv), both)


if __name__ == "__main__":
    sys.exit(main())
