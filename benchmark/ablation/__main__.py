"""The command line of an ablation."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.contracts import Contract
from benchmark.ablation.carry_out import How
from benchmark.ablation.carry_out import carry_out as carry_out_plan
from benchmark.ablation.plan import Plan, read_plan
from benchmark.ablation.store import AblationStore
from benchmark.command import COMPLETE, WITH_ERRORS, carry_out, whole
from benchmark.cost import price_of
from benchmark.datasets.id_lists import read_ids
from benchmark.datasets.selection import load as load_tasks
from benchmark.report.content import ConditionRow, PairRow
from benchmark.report.make import make
from benchmark.results import load_runs
from benchmark.run_summary import RunSummary, duration

EXAMPLES = """a plan (docs/METHODOLOGY.md explains the choices):
  name = "budgets"
  seeds = [0, 1]
  models = ["qwen2.5-coder-0.5b"]
  [tasks]
  dataset = "bundled"
  [[conditions]]
  policy = "A"
  seeds = [0]
  [[conditions]]
  name = "resample-2k"
  policy = "resample"
  token_budget = 2048

examples:
  python -m benchmark.ablation plan.toml                    begin, or go on after a stop, a kill, a power cut
  python -m benchmark.ablation plan.toml --concurrency 8    more tasks in flight
  python -m benchmark.ablation plan.toml --only slices.json#first    part of the tasks now, others another day
  python -m benchmark.ablation plan.toml --target http://gpu-box:8400 --json | tail -n 1 | jq .conditions

A stack of the plan's own is started for each model, on free ports; conditions that draw the same samples draw
them once (DIR/MODEL/pool). With --target the tasks go to that gateway, which draws every sample itself.

exit codes: 0 every task has a result; 3 some ended in 'error' (the same command retries just those);
1 could not run; 2 wrong arguments; 130 interrupted (the same command goes on)"""


@dataclass(frozen=True)
class Options:
    """The arguments."""

    plan: Path
    dir: Path | None
    only: str | None
    target: str | None
    api_key: str | None
    concurrency: int | None
    json: bool
    config: Path | None


class Result(Contract):
    """What `--json` ends with: a summary of each cell of the plan, in its order, and the report of all.

    `conditions` and `pairs` are the report's: cells that differ in nothing but the seed are one condition.
    """

    plan: str
    directory: str
    errors: int
    runs: tuple[RunSummary, ...]
    html: str
    markdown: str
    conditions: tuple[ConditionRow, ...]
    pairs: tuple[PairRow, ...]


def parse(argv: Sequence[str]) -> Options:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.ablation",
        description="Measure conditions × seeds × models as one plan; what is done is never done again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("plan", type=Path, metavar="PLAN.toml", help="what to measure")
    add("--dir", type=Path, metavar="DIR", help="where its results are kept [DATA_DIR/ablations/NAME]")
    add("--concurrency", type=whole(1), metavar="N", help="tasks in flight [as many as the server has slots]")
    add("--only", metavar="FILE[#KEY]", help="for now only the plan's tasks with these ids: a slice of it")
    add("--target", metavar="URL", help="send the tasks to this gateway instead of a stack started here")
    add("--api-key", metavar="KEY", help="for a gateway that wants one [$ATLAS_API_KEY]")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    add("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]")
    return Options(**vars(parser.parse_args(argv)))


async def run(options: Options, settings: Settings, plan: Plan, console: Console) -> Result:
    """Carry out the plan, or what is left of it.

    Raises:
        AtlasError: it cannot begin or go on; what is done is kept.
    """
    if options.api_key is not None:
        settings = settings.model_copy(update={"api_key": options.api_key})
    loaded = load_tasks(plan.tasks, settings.data_dir)
    directory = (options.dir or settings.data_dir / "ablations" / plan.name).absolute()
    with AblationStore(directory, plan, loaded) as store:
        console.print(
            f"plan {plan.name}: {len(plan.cells)} runs of {len(loaded.tasks)} tasks ({directory})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        only = None if options.only is None else read_ids(options.only)
        how = How(settings, options.target, options.concurrency, only)
        summaries = await carry_out_plan(store, how, console)
        made = make(load_runs([directory]), directory / "report", console, price_of(settings))
    return Result(
        plan=plan.name,
        directory=str(directory),
        errors=sum(summary.errors for summary in summaries),
        runs=tuple(summaries),
        html=made.html,
        markdown=made.markdown,
        conditions=made.conditions,
        pairs=made.pairs,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)
    command = shlex.join(["python", "-m", "benchmark.ablation", str(options.plan)])
    again = f"go on with:  {command}  (and the same options)"

    def work() -> Result:
        plan, settings = read_plan(options.plan), load(options.config)
        return run_interruptible(run(options, settings, plan, err))

    result = carry_out(work, _show, err, json=options.json, again=again)
    if isinstance(result, int):
        return result
    if result.errors:
        err.print(f"{result.errors} tasks ended in error; {again}", markup=False, highlight=False)
    return WITH_ERRORS if result.errors else COMPLETE


def _show(result: Result, console: Console) -> None:
    console.print(_table(result))
    console.print(result.html, markup=False, highlight=False)


def _table(result: Result) -> Table:
    drawn = Table("model", "condition", "seed", "n", "pass rate, Wilson 95%", "tokens out / task", "time")
    for each in result.runs:
        low, high = each.interval or (0.0, 0.0)
        rate = f"{each.passed / each.n:.1%} [{low:.1%}, {high:.1%}]" if each.n else "-"
        tokens = f"{each.tokens_out / each.n:,.0f}" if each.n else "-"
        n = f"{each.n}" + (f" + {each.errors} errors" if each.errors else "")
        cells = (each.model or "-", each.condition, str(each.seed), n, rate, tokens, duration(each.seconds))
        drawn.add_row(*cells)
    return drawn


if __name__ == "__main__":
    sys.exit(main())
