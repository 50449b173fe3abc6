"""Kill -9 at random moments, and see whether anything is lost, repeated or left: `python -m tests.chaos`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.chaos import problems
from tests.chaos.command import bars, execute, parser_of
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


async def both(options: argparse.Namespace, directory: Path, console: Console) -> Figures:
    """Run in peace, then under fire, with a progress bar on `console`.

    Raises:
        InfrastructureError: from `run`.
    """
    requests = problems.requests(options.tasks, options.seed)
    with bars(console, options.tasks, options.kills) as (in_peace, under_fire):
        calm = await run(requests, directory / "calm", progress=in_peace)
        kills = schedule(options.kills, options.seed, len(calm.requests))
        shaken = await run(requests, directory / "shaken", kills, progress=under_fire)
    for line in (*calm.left, *shaken.left):
        console.print(f"left running: {line}", markup=False)
    return figures(options.seed, calm, shaken)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    parser = parser_of("python -m tests.chaos", ABOUT, EXAMPLES, tasks=10)
    return execute(parser.parse_args(argv), both)


if __name__ == "__main__":
    sys.exit(main())
