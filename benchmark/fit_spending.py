"""Fits the priors of the spending rule to recorded tasks: `python -m benchmark.fit_spending RUN`.

Each arm's chance is Beta over tasks: a task has a chance of its own that a try passes every public example,
and the prior is what these chances are like (`benchmark.statistics.beta_binomial`). It holds whatever stopped
the tries, since the likelihood of a sequence does not know the rule that ended it. Samples come from pools
and runs alike; repairs from runs whose policy repairs, so that their prior is of tasks on which samples have
failed, as in the rule. No label is read: passing the public examples is all that the rule predicts. Runs of
several models give each priors of its own; what a failure or a long statement counts is fitted to all of
them. What a price would cost and save is told too (`benchmark.spending_prices`); which one is pinned is a
choice.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from math import log
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.events import (
    BruteForceChecked,
    CandidateGenerated,
    CommandFailed,
    Entry,
    ExecutionFinished,
    TaskSubmitted,
)
from atlas.policy import Arm, Spending
from atlas.spending import ARMS, TYPICAL, ArmName, Try, hardness, tries
from atlas.state import TaskState, apply
from benchmark.command import COMPLETE, carry_out
from benchmark.datasets.id_lists import refuse
from benchmark.results import digests, load_journal, load_runs
from benchmark.spending_prices import Played, Recorded, merged, played
from benchmark.statistics.beta_binomial import Drawn, fit_beta, log_likelihood
from benchmark.statistics.resampling import bootstrap_mean
from benchmark.stored import write_atomic

LEAST_TASKS = 10  # of an arm: with fewer a prior is a guess
OPTIONAL: tuple[ArmName, ...] = ("plan", "brute_force")
SHARES = tuple(n / 10 for n in range(11))
LENGTHS = tuple(n / 4 for n in range(11))
# Events after which more may be known of a try.
OUTCOMES = (BruteForceChecked, CandidateGenerated, CommandFailed, ExecutionFinished)
EXAMPLES = """examples:
  python -m benchmark.fit_spending data/pools/train-k16 data/runs/train-D --json
  python -m benchmark.fit_spending data/runs/train-D --not-in splits.json#report --out spending.json

The result's `spending` and `spending_of` are what a policy's fields of those names take.
exit codes: 0 fitted; 1 could not run; 2 wrong arguments"""


@dataclass(frozen=True)
class Made:
    """A try, and of which arm."""

    arm: ArmName
    tried: Try


@dataclass(frozen=True)
class Course:
    """A model's tries of a task, as their outcomes came to be known; `characters`: its statement's."""

    made: Sequence[Made]
    characters: int = TYPICAL
    model: str = ""


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


Arms = Mapping[ArmName, tuple[Arm, FittedArm]]


class Fit(Contract):
    """The result, as the last line of JSON says it: the numbers a policy pins, and where they come from.

    `spending` and `arms` are of all models together, `spending_of` and `arms_of` of each of several.
    `data`: hashes of what each run's journals say, and of the ids of the tasks.
    """

    spending: Spending
    spending_of: dict[str, Spending]
    arms: dict[ArmName, FittedArm]
    arms_of: dict[str, dict[ArmName, FittedArm]]
    prices: tuple[Played, ...]
    models: tuple[str, ...]
    command: str
    data: dict[str, str]
    date: str


def fitted(options: argparse.Namespace) -> Fit:
    """Fit the arms to the tasks of the runs, and write them where that is asked for.

    Raises:
        AtlasError: a run cannot be read, holds a task that is to be kept out, or has too few tries.
    """
    done: list[Course] = []
    of_task: dict[tuple[str, str], list[Course]] = defaultdict(list)
    runs = load_runs(options.runs)
    for run in runs:
        for result in run.graded:
            entries = load_journal(result)
            submitted = entries[0].event if entries else None
            if not isinstance(submitted, TaskSubmitted):
                continue
            if not submitted.problem.examples or not submitted.policy.execute:
                continue
            model = submitted.pins.model
            done.append(Course(in_order(entries), len(submitted.problem.statement), model))
            of_task[model, result.task].append(done[-1])
    names = {task for _, task in of_task}
    refuse(names, options.not_in, "runs")
    data = digests([run.directory for run in runs], grades=False)
    data["ids"] = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    shared, length, arms = fit(done)
    by_model = fit_models(done, shared, length, arms)
    spending = _spending(shared, length, arms)
    own = {model: _spending(shared, length, its_arms) for model, its_arms in by_model.items()}
    tasks = [
        Recorded(
            model, merged([(each.arm, each.tried) for each in one.made] for one in found), found[0].characters
        )
        for (model, _), found in of_task.items()
    ]
    fit_ = Fit(
        spending=spending,
        spending_of=own,
        arms=_facts(arms),
        arms_of={model: _facts(its_arms) for model, its_arms in by_model.items()},
        prices=played(spending, tasks, options.budget, own),
        models=tuple(sorted({model for model, _ in of_task})),
        command=shlex.join(["python", "-m", "benchmark.fit_spending", *sys.argv[1:]]),
        data=data,
        date=datetime.now(timezone.utc).date().isoformat(),
    )
    if options.out is not None:
        write_atomic(options.out, fit_.model_dump_json(indent=1) + "\n")
    return fit_


def in_order(entries: Sequence[Entry]) -> list[Made]:
    """Return the tries of all arms in the order in which their outcomes came to be known."""
    state, made = TaskState(), dict[str, Made]()
    for entry in entries:
        state = apply(state, entry.event)
        if isinstance(entry.event, OUTCOMES):
            known = tries(state)
            new = {each.name: Made(arm, each) for arm in ARMS for each in known[arm]}
            made |= {name: each for name, each in new.items() if name not in made}
    return list(made.values())


def fit(done: Sequence[Course]) -> tuple[float, float, Arms]:
    """Return how much failures of one arm count against the others, a long statement, and each arm's prior.

    Both are those of 0, 0.1 ... 1 and of 0, 0.25 ... 2.5 under which all tries together are most likely (the
    length is found first, with nothing shared). The share takes runs that differ in how many samples went
    before the repairs, or nothing tells it from the priors. There is no prior of plans, or of brute force,
    where fewer than 10 tasks had any.

    Raises:
        BadInput: fewer than 10 tasks have samples, or repairs.
    """
    tasks = {arm: _tasks(arm, done) for arm in ARMS}
    fitted_to = [arm for arm in ARMS if arm not in OPTIONAL or tasks[arm] >= LEAST_TASKS]
    for arm in fitted_to:
        if tasks[arm] < LEAST_TASKS:
            raise BadInput(
                f"{tasks[arm]} tasks of these runs have {arm}s: a prior takes at least {LEAST_TASKS}"
            )

    def arms(shared: float, length: float) -> Arms:
        return {arm: fit_arm(tries_of(arm, done, shared, length)) for arm in fitted_to}

    def likelihood(fits: Arms) -> float:
        return sum(facts.log_likelihood * facts.tasks for _, facts in fits.values())

    length = max(LENGTHS, key=lambda power: likelihood(arms(0.0, power)))
    every = {shared: arms(shared, length) for shared in SHARES}
    best = max(SHARES, key=lambda shared: likelihood(every[shared]))
    return best, length, every[best]


def fit_models(done: Sequence[Course], shared: float, length: float, of_all: Arms) -> dict[str, Arms]:
    """Return each model's own priors, where there are several models.

    An arm that fewer than 10 of a model's tasks had is as for all models together.
    """
    by_model: dict[str, list[Course]] = defaultdict(list)
    for task in done:
        by_model[task.model].append(task)
    if len(by_model) == 1:
        return {}
    return {
        model: {
            arm: fit_arm(tries_of(arm, own, shared, length)) if _tasks(arm, own) >= LEAST_TASKS else for_all
            for arm, for_all in of_all.items()
        }
        for model, own in sorted(by_model.items())
    }


def _tasks(arm: ArmName, done: Sequence[Course]) -> int:
    return sum(any(each.arm == arm for each in task.made) for task in done)


def _spending(shared: float, length: float, arms: Arms) -> Spending:
    return Spending(shared=shared, length=length, **{name: arm for name, (arm, _) in arms.items()})


def _facts(arms: Arms) -> dict[ArmName, FittedArm]:
    return {name: facts for name, (_, facts) in arms.items()}


def tries_of(
    arm: ArmName, done: Sequence[Course], shared: float, length: float
) -> list[list[tuple[Drawn, int]]]:
    """Return each task's tries of an arm, with what other arms' failures before them count, and tokens."""
    found = []
    for task in done:
        of_task, elsewhere = [], 0.0
        harder = hardness(length, task.characters)
        for each in task.made:
            if each.arm == arm:
                of_task.append((Drawn(each.tried.passed, elsewhere, harder), each.tried.tokens))
            elif not each.tried.passed:
                elsewhere += shared
        found.append(of_task)
    return found


def fit_arm(made: Sequence[Sequence[tuple[Drawn, int]]]) -> tuple[Arm, FittedArm]:
    """Return the prior of an arm whose tries these are, a sequence for each task, and what it rests on."""
    drawn = [[each for each, _ in task] for task in made if task]
    tokens = [n for task in made for _, n in task]
    passed = [sum(each.passed for each in task) for task in drawn]
    a, b = (float(f"{x:.4g}") for x in fit_beta(drawn))
    p = min(max(sum(passed) / len(tokens), 1e-12), 1 - 1e-12)
    shares = [n / len(task) for n, task in zip(passed, drawn, strict=True)]
    interval = bootstrap_mean(shares, (0.0, 1.0))
    pooled = [n * log(p) + (len(task) - n) * log(1 - p) for n, task in zip(passed, drawn, strict=True)]
    facts = FittedArm(
        tasks=len(drawn),
        tries=len(tokens),
        passed=sum(passed),
        chance=round(a / (a + b), 4),
        interval=(round(interval.low, 4), round(interval.high, 4)),
        log_likelihood=round(log_likelihood(a, b, drawn), 6),
        pooled=round(fmean(pooled), 6),
    )
    return Arm(right=a, wrong=b, tokens=round(max(1.0, fmean(tokens)), 1)), facts


def show(result: Fit, console: Console) -> None:
    """Print the arms."""
    columns = ("arm", "right", "wrong", "tokens", "tasks", "tries", "passed", "of a task's tries, 95%")
    models = {model: (spending, result.arms_of[model]) for model, spending in result.spending_of.items()}
    for whose, (spending, arms) in {"all models": (result.spending, result.arms), **models}.items():
        table = Table(*columns, title=f"priors of spending, {whose}")
        for name, facts in arms.items():
            arm = getattr(spending, name)
            numbers = (arm.right, arm.wrong, arm.tokens, facts.tasks, facts.tries, facts.passed)
            low, high = facts.interval
            table.add_row(name, *(f"{n:,}" for n in numbers), f"{low:.0%} to {high:.0%}")
        console.print(table)
    costs = Table("model", "price", "tasks", "passed", "tokens a task", title="at a price")
    for row in result.prices:
        costs.add_row(row.model, f"{row.price:g}", f"{row.tasks:,}", f"{row.passed:,}", f"{row.tokens:,.0f}")
    console.print(costs)
    console.print(f"a failed try counts {result.spending.shared:g} against each of the other arms")
    console.print(f"'wrong' grows with a statement's length to the power of {result.spending.length:g}")


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
    add(
        "--budget",
        type=int,
        default=1024,
        metavar="N",
        help="tokens of a task, where prices are tried [1024]",
    )
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
