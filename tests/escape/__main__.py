"""Thousands of attacks and good programs, with kills in between: `python -m tests.escape`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from atlas.errors import AtlasError
from tests.escape.mixture import Outcome, run

ABOUT = """Run attacks (tests/escape/attacks) and good programs with known answers at once on one sandbox
runner, in this process, while its launcher, slot servers and runs are killed (kill -9) or stopped at moments
drawn from the seed. Then say whether every good answer was right, whether an attack achieved anything, and
which processes, mounts, cgroups, files, descriptors and threads are left after the runner was closed."""
EXAMPLES = """examples:
  python -m tests.escape                                        10,000 executions, 20 kills, some minutes
  python -m tests.escape --executions 500 --kills 5 --isolation pod
  python -m tests.escape --json | tail -n 1 | jq .left          one JSON object, the last line

exit codes: 0 nothing was wrong, escaped or left, and all kills took place; 1 something was (stderr says
what), or it could not run; 2 wrong arguments"""
SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the figures, return the exit code."""
    options = _parser().parse_args(argv)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            bar = progress.add_task("executions", total=options.executions)
            outcome = run(
                options.executions,
                options.kills,
                options.seed,
                level=options.isolation,
                jobs=options.jobs,
                progress=lambda so_far: progress.update(bar, completed=so_far.executions),
            )
    except AtlasError as error:
        console.print(f"could not run: {error}", style="red", markup=False)
        return 1
    for text in (*outcome.wrong[:SHOWN], *outcome.escaped[:SHOWN]):
        console.print(text[:1000], style="red", markup=False)
    figures = _figures(outcome, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for name, value in figures.items():
            sys.stdout.write(f"{name:12} {value}\n")
    dirty = outcome.wrong or outcome.escaped or any(outcome.left.values())
    return 1 if dirty or len(outcome.kills) < options.kills else 0


def _figures(outcome: Outcome, seed: int) -> dict[str, object]:
    return {
        **asdict(outcome),
        "wrong": len(outcome.wrong),
        "escaped": len(outcome.escaped),
        "kills": len(outcome.kills),
        "killed": dict(Counter(outcome.kills)),
        "seed": seed,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.escape",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--executions", type=int, default=10_000, metavar="N", help="runs, at least (default: 10000)")
    add("--kills", type=int, default=20, metavar="K", help="processes killed or stopped (default: 20)")
    add("--seed", type=int, default=0, metavar="S", help="of the plan and the kills (default: 0)")
    levels = ("auto", "namespaces", "pod", "gvisor")
    add("--isolation", choices=levels, default="auto", help="level of the sandbox (default: the strongest)")
    add("--jobs", type=int, default=2, metavar="J", help="runs at once (default: 2)")
    add("--json", action="store_true", help="print the figures as one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
