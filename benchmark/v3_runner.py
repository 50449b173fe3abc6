"""Measures the stack on a data set: every task through the REST API, graded here, one pass rate at the end.

    python benchmark/v3_runner.py                    # the bundled tasks under the policy 'full'
    python -m benchmark.v3_runner --condition A --limit 8 --json

This module reads the arguments and wires the parts: `datasets` (tasks), `own_stack` (a gateway), `solve`
(one task), `run_store` (what survives a kill), `progress` and `report` (what is shown).
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Run as a file: its folder, with a statistics.py in it, must not hide the standard library.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [str(_here.parent), *(p for p in sys.path if Path(p or ".").resolve() != _here)]
    from benchmark import own_python

    own_python.ensure(_here.parent, sys.argv)

import argparse
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from typing import TypeVar

import httpx
from rich.console import Console

from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.embedded.own_stack import reach
from atlas.errors import BadInput
from atlas.policy import POLICIES
from benchmark.command import COMPLETE, WITH_ERRORS, carry_out, whole
from benchmark.conditions import Variant, lines, listing
from benchmark.datasets.selection import Selection, add_options, from_options
from benchmark.datasets.selection import load as load_tasks
from benchmark.energy_sources import elsewhere
from benchmark.k8s import run as k8s
from benchmark.measure import Bench, configuration, measure
from benchmark.progress import RunProgress
from benchmark.run_store import RunStore
from benchmark.run_summary import RunSummary, summarise, table
from benchmark.scoring.given_executor import given_executor
from benchmark.scoring.grader import Grader
from benchmark.solve import Grades

T = TypeVar("T")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
EXAMPLES = """examples:
  python benchmark/v3_runner.py                                  all bundled tasks, policy 'full'
  python benchmark/v3_runner.py --condition A --limit 8          the baseline on the first 8 tasks
  python benchmark/v3_runner.py --list-conditions                what can be measured, and what it lacks
  python benchmark/v3_runner.py --condition resample --token-budget 4000   a control at equal tokens
  python benchmark/v3_runner.py --dataset data/lcb/test6.jsonl   LiveCodeBench, from your own download
  python benchmark/v3_runner.py --run-id monday                  begin 'monday', or go on with it
  python benchmark/v3_runner.py --target http://gpu-box:8400 --json | tail -n 1 | jq .passed
  python benchmark/v3_runner.py --k8s --target http://gateway:8400 --k8s-claim atlas-runs   a Job there

exit codes: 0 every task has a result; 3 some ended in 'error' (the same --run-id retries just those);
1 could not run; 2 wrong arguments; 130 interrupted (the same --run-id goes on)"""


@dataclass(frozen=True)
class Options:
    """The arguments, with a run id in any case."""

    selection: Selection
    condition: str
    seed: int
    concurrency: int
    run_id: str
    target: str | None
    api_key: str | None
    token_budget: int | None
    list_conditions: bool
    json: bool
    config: Path | None
    runs_dir: Path | None
    grading_executor: str | None
    cluster: k8s.Place | None


def parse(argv: Sequence[str]) -> Options:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="v3_runner.py",
        description="Measure the stack on a data set: one program per task, graded on hidden tests here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add_options(parser)
    add("--condition", default="full", metavar="POLICY", help="what to measure, see --list-conditions [full]")
    add("--seed", type=whole(0), default=0, metavar="S", help="the policy's seed [0]")
    add("--token-budget", type=whole(0), metavar="N", help="most tokens to generate per task [the policy's]")
    add("--list-conditions", action="store_true", help="list the conditions and what each lacks, and exit")
    add("--concurrency", type=whole(1), default=1, metavar="N", help="tasks in flight [1]")
    add("--run-id", type=_run_id, metavar="ID", help="name of the run; an existing one is resumed [made up]")
    add("--target", metavar="URL", help="the gateway [that of atlas.conf; started here if none answers]")
    add(
        "--api-key",
        metavar="KEY",
        help="for a gateway that wants one [$ATLAS_API_KEY, which `ps` does not show]",
    )
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    add("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]")
    add("--runs-dir", type=Path, metavar="DIR", help="where runs are kept [DATA_DIR/runs]")
    add(
        "--grading-executor",
        metavar="URL",
        help="grade on this executor, unix:/path or http://..., for this run alone [one is started]",
    )
    k8s.add_options(parser)
    read = parser.parse_args(argv)
    try:
        selection = from_options(read)
        read.cluster = k8s.place(read)
    except BadInput as error:
        parser.error(str(error))
    run_id = read.run_id or _new_run_id(selection.label, read.condition, read.seed)
    rest = {field.name: getattr(read, field.name) for field in fields(Options) if field.name != "selection"}
    return Options(**rest | {"selection": selection, "run_id": run_id})


async def run_benchmark(
    options: Options,
    settings: Settings,
    console: Console,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    grader: Grades | None = None,
) -> RunSummary:
    """Run (or go on with) the run and return its summary. `transport` and `grader` are for tests.

    Raises:
        AtlasError: the run cannot begin or go on; what is done is kept.
    """
    if options.api_key is not None:
        settings = settings.model_copy(update={"api_key": options.api_key})
    loaded = load_tasks(options.selection, settings.data_dir)
    tasks, variant = loaded.tasks, _variant(options)
    asked = configuration(loaded, variant.name, options.seed)
    directory = ((options.runs_dir or settings.data_dir / "runs") / options.run_id).absolute()
    with RunStore(directory, asked, loaded.sources, loaded.excluded) as store:
        todo = store.unfinished(tasks)
        console.print(
            f"run {store.run_id}: {len(tasks) - len(todo)} of {len(tasks)} tasks done ({store.directory})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        if todo:
            async with AsyncExitStack() as held:
                stack = await held.enter_async_context(
                    reach(
                        settings,
                        console,
                        target=options.target,
                        before_start=lambda: variant.policy_among(POLICIES.values(), options.seed),
                        transport=transport,
                    )
                )
                if grader is None:
                    executor = None
                    if options.grading_executor is not None:
                        executor = await held.enter_async_context(given_executor(options.grading_executor))
                    grader = await held.enter_async_context(
                        Grader(isolation=settings.sandbox_isolation, executor=executor)
                    )
                done = [store.records[t.id] for t in tasks if t not in todo]
                progress = held.enter_context(RunProgress(console, len(tasks), done))
                remote = elsewhere(options.target)
                bench = Bench(stack, grader, console, settings, options.concurrency, remote)
                await measure(store, tasks, variant, bench, progress)
        result = summarise(store, [task.id for task in tasks])
        store.save_result(result.model_dump_json())
        return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    if options.list_conditions:
        print(listing().model_dump_json() if options.json else "\n".join(lines(listing())))
        return COMPLETE
    err = Console(stderr=True, soft_wrap=True)
    again = f"go on with:  {_again(argv, options.run_id)}"
    if options.cluster is not None:
        return k8s.run(options, options.cluster, argv, again, err)

    def work() -> RunSummary:
        return run_interruptible(run_benchmark(options, load(options.config), err))

    result = carry_out(
        work, lambda each, console: console.print(table(each)), err, json=options.json, again=again
    )
    if isinstance(result, int):
        return result
    if result.errors:
        err.print(f"{result.errors} tasks ended in error; {again}", markup=False, highlight=False)
    return WITH_ERRORS if result.errors else COMPLETE


def _variant(options: Options) -> Variant:
    budget = {} if options.token_budget is None else {"token_budget": options.token_budget}
    return Variant(name=options.condition, policy=options.condition, changes=budget)


def _new_run_id(dataset: str, condition: str, seed: int) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{re.split('[.,]', dataset)[0]}-{condition}")[:60].strip("-_")
    return f"{stem or 'run'}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _run_id(text: str) -> str:
    if not RUN_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: up to 100 letters, digits, '.', '_' and '-', not first")
    return text


def _again(argv: Sequence[str], run_id: str) -> str:
    """Return the command that goes on with the run; a key stays out of it."""
    words = [word for i, word in enumerate(argv) if "--api-key" not in (word, *argv[max(0, i - 1) : i])]
    words = [word for word in words if not word.startswith("--api-key=")]
    named = any(word.startswith("--run-id") for word in words)
    return shlex.join(["python", "benchmark/v3_runner.py", *words, *([] if named else ["--run-id", run_id])])


if __name__ == "__main__":
    sys.exit(main())
