"""Fits the priors of the spending rule to recorded tasks: `python -m benchmark.fit_spending RUN`.

Each arm's chance is Beta over tasks: a task has a chance of its own that a try passes every public example,
and the prior is what these chances are like (`benchmark.statistics.beta_binomial`). It holds whatever stopped
the tries, since the likelihood of a sequence does not know the rule that ended it. Samples come from pools
and runs alike; repairs from runs whose policy repairs, so that their prior is of tasks on which samples have
failed, as in the rule. No label is read: passing the public examples is all that the rule predicts.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.policy import Arm, Spending
from atlas.spending import Tries, Try, tries
from atlas.state import TaskState, fold
from benchmark.command import COMPLETE, carry_out
from benchmark.datasets.id_lists import refuse
from benchmark.results import load_journal, load_runs
from benchmark.statistics.beta_binomial import fit_beta, log_likelihood
from benchmark.statistics.resampling import bootstrap_mean
from benchmark.stored import write_atomic

LEAST_TASKS = 10  # of an arm: with fewer a prior is a guess
EXAMPLES = """examples:
  python -m benchmark.fit_spending data/pools/train-k16 data/runs/train-D --json
  python -m benchmark.fit_spending data/runs/train-D --not-in splits.json#report --out spending.json

The result's `spending` is what a policy's field of that name takes.
exit codes: 0 fitted; 1 could not run; 2 wrong arguments"""


class FittedArm(Contract):
    """What an arm was fitted to.

    `chance`: the prior's mean; `interval`: 95%, of the tasks' mean share of tries that passed, by bootstrap
    over tasks. `log_likelihood` is a task's, and `pooled` that of one chance for all.
    """

    tasks: int
    tries: int
    passed: int
    chance: float
    interval: tuple[float, float]
    log_likelihood: float
    pooled: float


class Fit(Contract):
    """The result, as the last line of JSON says it: the numbers a policy pins, and where they come from.

    `data`: hashes of what each run's journals say, and of the ids of the tasks.
    """

    spending: Spending
    sample: FittedArm
    repair: FittedArm
    models: tuple[str, ...]
    command: str
    data: dict[str, str]
    date: str


def fitted(options: argparse.Namespace) -> Fit:
    """Fit both arms to the tasks of the runs, and write them where that is asked for.

    Raises:
        AtlasError: a run cannot be read, holds a task that is to be kept out, or has too few tries.
    """
    done: list[Tries] = []
    names: set[str] = set()
    models: set[str] = set()
    data: dict[str, str] = {}
    for run in load_runs(options.runs):
        digest = hashlib.sha256()
        for result in run.graded:
            entries = load_journal(result)
            state = fold(TaskState(), entries)
            if state.submitted is None or not state.task.problem.examples or not state.task.policy.execute:
                continue
            done.append(tries(state))
            names.add(result.task)
            models.add(state.task.pins.model)
            digest.update("".join(entry.model_dump_json() for entry in entries).encode())
        data[run.directory.name] = digest.hexdigest()
    refuse(names, options.not_in, "runs")
    data["ids"] = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    sample, of_samples = fit_arm("samples", [each.samples for each in done])
    repair, of_repairs = fit_arm("repairs", [each.repairs for each in done])
    fit = Fit(
        spending=Spending(sample=sample, repair=repair),
        sample=of_samples,
        repair=of_repairs,
        models=tuple(sorted(models)),
        command=shlex.join(["python", "-m", "benchmark.fit_spending", *sys.argv[1:]]),
        data=data,
        date=datetime.now(timezone.utc).date().isoformat(),
    )
    if options.out is not None:
        write_atomic(options.out, fit.model_dump_json(indent=1) + "\n")
    return fit


def fit_arm(name: str, made: Sequence[Sequence[Try]]) -> tuple[Arm, FittedArm]:
    """Return the prior of an arm whose tries these are, a sequence for each task, and what it rests on.

    Raises:
        BadInput: fewer than 10 tasks have any.
    """
    made = [each for each in made if each]
    if len(made) < LEAST_TASKS:
        raise BadInput(f"{len(made)} tasks of these runs have {name}: a prior takes at least {LEAST_TASKS}")
    right = [sum(t.passed for t in each) for each in made]
    wrong = [len(each) - n for each, n in zip(made, right, strict=True)]
    tokens = [t.tokens for each in made for t in each]
    a, b = (round(x, 4) for x in fit_beta(right, wrong))
    mean = sum(right) / len(tokens)
    p = min(max(mean, 1e-12), 1 - 1e-12)
    interval = bootstrap_mean([n / len(each) for n, each in zip(right, made, strict=True)], (0.0, 1.0))
    pooled = [n * np.log(p) + m * np.log(1 - p) for n, m in zip(right, wrong, strict=True)]
    facts = FittedArm(
        tasks=len(made),
        tries=len(tokens),
        passed=sum(right),
        chance=round(a / (a + b), 4),
        interval=(round(interval.low, 4), round(interval.high, 4)),
        log_likelihood=round(log_likelihood(a, b, right, wrong), 6),
        pooled=round(float(np.mean(pooled)), 6),
    )
    return Arm(right=a, wrong=b, tokens=round(max(1.0, float(np.mean(tokens))), 1)), facts


def show(result: Fit, console: Console) -> None:
    """Print both arms."""
    columns = ("arm", "right", "wrong", "tokens", "tasks", "tries", "passed", "of a task's tries, 95%")
    table = Table(*columns, title="priors of spending")
    for name, arm, facts in (
        ("sample", result.spending.sample, result.sample),
        ("repair", result.spending.repair, result.repair),
    ):
        numbers = (arm.right, arm.wrong, arm.tokens, facts.tasks, facts.tries, facts.passed)
        low, high = facts.interval
        table.add_row(name, *(f"{n:,}" for n in numbers), f"{low:.0%} to {high:.0%}")
    console.print(table)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.fit_spending",
        description="Fit the priors of the spending rule to recorded runs and pools.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="a run's or a pool's directory")
    add("--not-in", action="append", default=[], metavar="FILE[#KEY]", help="refuse tasks with these ids")
    add("--out", type=Path, metavar="FILE", help="write the result to a file as well")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)
    result = carry_out(lambda: fitted(options), show, err, json=options.json)
    return result if isinstance(result, int) else COMPLETE


if __name__ == "__main__":
    sys.exit(main())
