"""What another policy would have made of a run, without its model: `python -m benchmark.replay RUN`.

The real stack decides, and a record of the run's model calls and executions answers it by content
(`benchmark.recorded`). A policy that asks for what was never drawn cannot be judged on that task: coverage
says how many it can, and there is a pass rate only where it is all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.policy import POLICIES, Policy
from benchmark.command import COMPLETE, carry_out
from benchmark.datasets.selection import Selection
from benchmark.datasets.selection import load as load_tasks
from benchmark.recorded.material import Material, gather
from benchmark.recorded.replaying import Bench, Judge, Replayed, bench, changes, replay
from benchmark.scoring.grader import Grader
from benchmark.statistics import wilson_interval

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_COVERED = 3
OWN = "own"
EXAMPLES = """examples:
  python -m benchmark.replay data/runs/monday                       the run's own policy: its own decisions
  python -m benchmark.replay data/runs/monday --policy B --json | tail -n 1 | jq .coverage
  python -m benchmark.replay data/runs/monday --policy mine.toml    a policy of your own: k = 4, plans = 0 ...
  python -m benchmark.replay data/deep/pool --policy resample --more data/runs/monday
  python -m benchmark.replay data/runs/monday --no-execute          nothing is run anew either
  python -m benchmark.replay data/runs/monday --policy B --dataset bundled   grade programs the run did not

exit codes: 0 every task answered and graded; 3 not all were (there is no pass rate); 1 could not run;
2 wrong arguments; 130 interrupted"""


class Replay(Contract):
    """The result of a replay, as its last line of JSON says it.

    `coverage` is `answered` / `n`. `pass_rate`, `passed` and Wilson's 95% `interval` are null unless every
    task was answered and every program has a grade; `why` says what is missing. `same`: tasks that ended with
    the run's own program. `executed_anew` counts runs of programs that the record did not hold and a live
    executor made; `executions_recorded` those it held. `differs`: what the stack of today pins otherwise than
    the run's. Tokens are those that the policy would have spent, over all tasks. `seconds`: the replay's own.
    """

    run: str
    policy: Policy
    n: int
    answered: int
    coverage: float
    same: int
    passed: int | None
    pass_rate: float | None
    interval: tuple[float, float] | None
    why: str
    tokens_in: int
    tokens_out: int
    choices_recorded: int
    executions_recorded: int
    executed_anew: int
    differs: tuple[str, ...]
    seconds: float
    tasks: tuple[Replayed, ...]


async def replayed(options: argparse.Namespace, settings: Settings, console: Console) -> Replay:
    """Replay the run that the arguments name.

    Raises:
        AtlasError: it cannot be replayed.
    """
    material = gather(options.run, options.more)
    policy = chosen(options.policy, material)
    n = max(material.run.configuration.tasks, len(material.subjects) + len(material.untold))
    console.print(
        f"replaying {len(material.subjects)} of {n} tasks of {material.run.run_id} under '{policy.name}'",
        markup=False,
        highlight=False,
    )
    async with AsyncExitStack() as held:
        grader = await held.enter_async_context(judge(options, settings)) if options.dataset else None
        on = await held.enter_async_context(
            bench(material, console, execute=options.execute, settings=settings)
        )
        began = time.monotonic()
        done = await replay(
            material,
            policy,
            on,
            concurrency=options.concurrency,
            done=lambda each: _tell(console, each),
            judge=grader,
        )
        seconds = time.monotonic() - began
        return summarise(material, policy, on, done, n, seconds)


def summarise(
    material: Material, policy: Policy, on: Bench, done: Sequence[Replayed], n: int, seconds: float
) -> Replay:
    """Return what a replay of `n` tasks came to."""
    answered = [each for each in done if each.answered]
    graded = [each for each in answered if each.passed is not None]
    why = _why(n, len(answered), len(graded))
    passed = None if why else sum(bool(each.passed) for each in graded)
    interval = None if passed is None or not n else wilson_interval(passed, n)
    return Replay(
        run=str(material.run.directory),
        policy=policy,
        n=n,
        answered=len(answered),
        coverage=len(answered) / n if n else 0.0,
        same=sum(each.answered and each.same for each in done),
        passed=passed,
        pass_rate=None if passed is None or not n else passed / n,
        interval=interval and (round(interval.low, 4), round(interval.high, 4)),
        why=why,
        tokens_in=sum(each.tokens_in for each in done),
        tokens_out=sum(each.tokens_out for each in done),
        choices_recorded=on.calls.recorded,
        executions_recorded=on.runs.recorded,
        executed_anew=on.runs.anew,
        differs=changes(material, on),
        seconds=round(seconds, 3),
        tasks=tuple(done),
    )


def chosen(name: str, material: Material) -> Policy:
    """Return the policy to replay: the run's, a named one or a file's, with the run's seed if it says none.

    Raises:
        BadInput: there is no such policy.
    """
    if name == OWN:
        return material.run.policy
    seed = {"seed": material.run.policy.seed}
    if name in POLICIES:
        return POLICIES[name].model_copy(update=seed)
    path = Path(name)
    if path.suffix not in (".json", ".toml"):
        raise BadInput(
            f"no policy '{name}'; there are: {OWN}, {', '.join(POLICIES)}, or a .toml or .json file"
        )
    try:
        text = path.read_text(encoding="utf-8")
        fields = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        return Policy.model_validate({"name": path.stem[:40], **seed, **fields})
    except OSError as error:
        raise BadInput(f"cannot read the policy {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BadInput(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path} is no policy: {error}") from error


@asynccontextmanager
async def judge(options: argparse.Namespace, settings: Settings) -> AsyncIterator[Judge]:
    """Give a grader, and the tasks of the data set that the arguments name."""
    loaded = load_tasks(Selection(dataset=tuple(options.dataset), ids=options.ids), settings.data_dir)
    async with Grader(isolation=settings.sandbox_isolation) as grader:
        yield Judge(grader, {task.id: task for task in loaded.tasks})


def _why(n: int, answered: int, graded: int) -> str:
    if not n:
        return "the run has no tasks"
    if answered < n:
        return (
            f"{n - answered} of {n} tasks asked for what is not in the record: a rate over the others would "
            "be one over chosen tasks"
        )
    if graded < n:
        return (
            f"{n - graded} programs have no grade in the run's record: name the data set with --dataset, or "
            "grade all of the run's programs first (python -m benchmark.regrade)"
        )
    return ""


def _tell(console: Console, each: Replayed) -> None:
    how = "same decision" if each.same else "another decision" if each.answered else "unanswerable"
    passed = {True: "passed", False: "failed", None: "not graded"}[each.passed]
    said = (
        f"  {each.task}  {how}, {passed}, {each.tokens_out:,} tokens"
        if each.answered
        else (f"  {each.task}  {how}: {each.missing}")
    )
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def table(result: Replay) -> Table:
    """Draw the result."""
    drawn = Table(title=f"{result.run} / {result.policy.name}", show_header=False, title_justify="left")
    drawn.add_row("coverage", f"{result.coverage:.1%}  ({result.answered} of {result.n} tasks)")
    rate = "none: " + result.why
    if result.pass_rate is not None and result.interval is not None:
        low, high = result.interval
        rate = f"{result.pass_rate:.1%}  [{low:.1%}, {high:.1%}]  ({result.passed} of {result.n})"
    drawn.add_row("pass rate, Wilson 95%", rate)
    drawn.add_row("the run's own decisions", f"{result.same} of {result.answered}")
    drawn.add_row("tokens in / out", f"{result.tokens_in:,} / {result.tokens_out:,}")
    drawn.add_row("choices from the record", f"{result.choices_recorded:,}")
    drawn.add_row("executions recorded / anew", f"{result.executions_recorded:,} / {result.executed_anew:,}")
    for change in result.differs:
        drawn.add_row("otherwise than then", change)
    speed = result.n / result.seconds if result.seconds else 0.0
    drawn.add_row("time", f"{result.seconds:.1f} s  ({speed:.1f} tasks/s)")
    return drawn


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.replay",
        description="Play a run again under a policy, its model calls and executions answered by the record.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="a run directory")
    add("--policy", default=OWN, metavar="P", help="a named policy, a .toml or .json file, or 'own' [own]")
    add(
        "--more",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="further records of the model: runs, pools",
    )
    add(
        "--dataset",
        action="append",
        metavar="D",
        help="grade programs that the run did not, on this data set",
    )
    add("--ids", metavar="FILE[#KEY]", help="of that data set only these, as the run was given them")
    add("--no-execute", dest="execute", action="store_false", help="answer executions from the record alone")
    add(
        "--concurrency",
        type=int,
        choices=range(1, 65),
        default=8,
        metavar="N",
        help="tasks in flight, up to 64 [8]",
    )
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    add("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Replay and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Replay:
        return run_interruptible(replayed(options, load(options.config), err))

    result = carry_out(work, lambda each, console: console.print(table(each)), err, json=options.json)
    if isinstance(result, int):
        return result
    return NOT_COVERED if result.why else COMPLETE


if __name__ == "__main__":
    sys.exit(main())
