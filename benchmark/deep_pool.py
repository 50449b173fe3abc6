"""Records a deep pool: many samples of every task, each run on the examples and on generated inputs.

    python -m benchmark.deep_pool --dataset bundled --k 16
    python -m benchmark.replay data/pools/bundled-k16-s0 --policy mine.toml     # any shallower policy

The pool is a run directory (`benchmark.run_store`) whose policy draws k plain samples, stops at nothing and
compares on generated inputs what passes the public examples. Every model call goes through a sample pool
(`pool/` in it, or --samples): what was drawn once is not drawn again, by whatever policy of the same model.
`benchmark.pack_pool` carries the samples to another machine; without their hidden states, which --spans has
our llama-server read anew. With --mutations, `inputs.jsonl` and
`executions.jsonl` are beside: what every program, also one that fails its examples, made of inputs that
nobody knows an answer to. Every step is taken up where a kill left it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.contracts import Contract
from atlas.embedded.own_stack import reach
from atlas.errors import BadInput, Conflict
from atlas.policy import INPUTS, Policy
from benchmark.command import COMPLETE, WITH_ERRORS, carry_out, whole
from benchmark.conditions import Variant
from benchmark.datasets.selection import Loaded, Selection, add_options, from_options
from benchmark.datasets.selection import load as load_tasks
from benchmark.drawn import programs
from benchmark.energy_sources import elsewhere
from benchmark.measure import Bench, configuration, measure
from benchmark.pooled_stack import Pooled, pooled_stack, recording_of
from benchmark.progress import RunProgress
from benchmark.recorded.input_runs import Work, left_to_run, make_inputs, read_given, run_all
from benchmark.recorded.own_executor import own_executor
from benchmark.recorded.pool import FrozenPool, SamplePool
from benchmark.recorded.recording import read_recording, save_recording
from benchmark.results import load_run
from benchmark.run_store import RunStore
from benchmark.scoring.grader import Grader
from benchmark.scoring.private_directory import PrivateDirectory

EXAMPLES = """examples:
  python -m benchmark.deep_pool                                     16 samples of each bundled task
  python -m benchmark.deep_pool --dataset data/lcb/test6.jsonl --limit 20 --k 8
  python -m benchmark.deep_pool --model qwen2.5-coder-1.5b --pool data/pools/deep-1.5b
  python -m benchmark.deep_pool --inputs 0 --pool data/pools/plain    samples alone, programs not compared
  python -m benchmark.deep_pool --samples data/pools/plain/pool       the same samples, programs compared
  python -m benchmark.deep_pool --spans                               read unpacked samples' hidden states
  python -m benchmark.deep_pool --frozen                              no model: from recorded samples alone
  python -m benchmark.deep_pool --input-tokens 1536 --distinguish 1   the model writes inputs to compare on
  python -m benchmark.deep_pool --inputs-file mine.jsonl              lines {"task": ..., "input": ...}
  python -m benchmark.deep_pool --json | tail -n 1 | jq .runs

exit codes: 0 the pool is whole; 3 some tasks ended in 'error' (the same command retries just those);
1 could not run; 2 wrong arguments; 130 interrupted (the same command goes on)"""


class DeepPool(Contract):
    """What a pool holds, as the last line of JSON says it.

    `drawn` samples were drawn now, `recorded` were there already, of which `spans_read` had no hidden states
    and were read once more for them (None of the three through another gateway); `runs` were made now, on
    the `inputs` of --mutations and --inputs-file.
    """

    pool: str
    tasks: int
    errors: int
    k: int
    programs: int
    inputs: int
    runs: int
    drawn: int | None
    recorded: int | None
    spans_read: int | None
    seconds: float


async def record(
    options: argparse.Namespace, selection: Selection, settings: Settings, console: Console
) -> DeepPool:
    """Record what is not there yet, and return what there is.

    Raises:
        AtlasError: it cannot go on; what is done is kept.
    """
    began = time.monotonic()
    if options.model is not None:
        settings = settings.model_copy(update={"model": options.model, "model_path": None})
    loaded = load_tasks(selection, settings.data_dir)
    problems = {task.id: task.problem for task in loaded.tasks}
    given = read_given(options.inputs_file, problems) if options.inputs_file else {}
    variant = deep(options)
    directory = (options.pool or settings.data_dir / "pools" / _name(selection, options)).absolute()
    asked = configuration(loaded, variant.name, options.seed)
    pool: SamplePool | FrozenPool | None = None
    with RunStore(directory, asked, loaded.sources, loaded.excluded) as store:
        if store.unfinished(loaded.tasks):
            pool = await _draw(store, loaded, variant, options, settings, console)
        found = programs(load_run(directory))
        inputs = make_inputs(directory, problems, options.mutations, options.seed, given)
        work = left_to_run(directory, found, problems, inputs)
        runs = await _run(directory, work, settings, console) if work else 0
        records = [store.records[task.id] for task in loaded.tasks if task.id in store.records]
    return DeepPool(
        pool=str(directory),
        tasks=len(loaded.tasks),
        errors=sum(record.outcome == "error" for record in records),
        k=options.k,
        programs=len(found),
        inputs=sum(map(len, inputs.values())),
        runs=runs,
        drawn=pool.drawn if pool else None,
        recorded=pool.recorded if pool else None,
        spans_read=pool.spans_read if pool else None,
        seconds=round(time.monotonic() - began, 3),
    )


def deep(options: argparse.Namespace) -> Variant:
    """Return the condition that is recorded: k plain samples, all executed, the survivors compared."""
    changes: dict[str, object] = dict.fromkeys(("plans", "repairs", "refinements", "stop_after_passing"), 0)
    changes |= {"k": options.k, "token_budget": 0}
    if options.inputs:
        of_inputs = ("inputs", "input_tokens", "distinguish", "readings")
        changes |= {name: getattr(options, name) for name in of_inputs}
    if options.without_examples:
        changes["statement_examples"] = False
    drawn = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    changes |= {name: value for name, value in drawn.items() if value is not None}
    return Variant(name=f"deep-{options.k}", policy="no-plan", changes=changes)


async def _draw(
    store: RunStore,
    loaded: Loaded,
    variant: Variant,
    options: argparse.Namespace,
    settings: Settings,
    console: Console,
) -> SamplePool | FrozenPool | None:
    async with AsyncExitStack() as held:
        pooled: Pooled | None = None
        if options.target is None:
            samples = options.samples.absolute() if options.samples else None
            pooled = await held.enter_async_context(
                pooled_stack(
                    settings,
                    store.directory,
                    console,
                    samples=samples,
                    frozen=options.frozen,
                    read_spans=options.spans,
                )
            )
            stack = pooled.stack
        else:
            stack = await held.enter_async_context(reach(settings, console, target=options.target))
        serves = (await stack.gateway.model_facts()).model
        if options.model not in (None, serves):
            raise Conflict(f"the gateway at {stack.gateway.url} serves {serves}, not {options.model}")
        if pooled is not None:
            policy = variant.policy_among(await stack.gateway.policies(), options.seed)
            _same_recording(pooled, loaded, policy, serves)
        grader = await held.enter_async_context(Grader(isolation=settings.sandbox_isolation))
        done = [record for record in store.records.values() if record.outcome != "error"]
        progress = held.enter_context(RunProgress(console, len(loaded.tasks), done))
        remote = elsewhere(options.target)
        bench = Bench(stack, grader, console, settings, options.concurrency, remote)
        await measure(store, loaded.tasks, variant, bench, progress)
        return pooled.pool if pooled else None


def _same_recording(pooled: Pooled, loaded: Loaded, policy: Policy, model: str) -> None:
    """Note what the samples are drawn from, or see that those there are of the same.

    Raises:
        Conflict: they are not.
    """
    directory, known = pooled.pool.directory, read_recording(pooled.pool.directory)
    sha256_of_model = pooled.model.sha256 if pooled.model else known.model_sha256 if known else ""
    drawn = {"k": policy.k, "temperature": policy.temperature, "max_tokens": policy.max_tokens}
    recording = recording_of(loaded, model, sha256_of_model).model_copy(update={**drawn, "seed": policy.seed})
    save_recording(directory, recording)


async def _run(directory: Path, work: Sequence[Work], settings: Settings, console: Console) -> int:
    columns = (TextColumn("programs on generated inputs"), BarColumn(), MofNCompleteColumn())
    async with AsyncExitStack() as held:
        private = PrivateDirectory.make("atlas-deep-pool-")
        held.callback(private.close)
        executor = await held.enter_async_context(own_executor(settings, private.path, "deep-pool"))
        bar = held.enter_context(Progress(*columns, console=console, transient=True))
        task = bar.add_task("", total=len(work))
        return await run_all(directory, work, executor, settings.execution_jobs, lambda _: bar.advance(task))


def _name(selection: Selection, options: argparse.Namespace) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", selection.label)[:60].strip("-_") or "pool"
    inputs = "" if options.inputs == INPUTS else f"-i{options.inputs}"
    inputs += f"-t{options.input_tokens}" if options.input_tokens else ""
    return f"{stem}-k{options.k}-s{options.seed}{inputs}" + (f"-{options.model}" if options.model else "")


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, Selection]:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.deep_pool",
        description="Record many samples of every task, each executed, for policies to be replayed on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    add = parser.add_argument
    add("--k", type=whole(1, 64), default=16, metavar="K", help="samples of each task, up to 64 [16]")
    add("--seed", type=whole(0, 2**31 - 1), default=0, metavar="S", help="of samples and inputs [0]")
    add("--temperature", type=float, metavar="T", help="of samples [the policies' own, 0.7]")
    add("--max-tokens", type=whole(16, 65_536), metavar="N", help="of a sample [the policies' own, 1024]")
    told = "generated inputs to compare what passes the examples on, 0: none"
    add("--inputs", type=whole(0, 64), default=INPUTS, metavar="N", help=f"{told} [{INPUTS}]")
    told = "for the model to write them with, 0: it writes none, and examples are varied [0]"
    add("--input-tokens", type=whole(0, 65_536), default=0, metavar="N", help=told)
    told = "rounds of inputs that the model writes to tell the leading clusters apart [0]"
    add("--distinguish", type=whole(0, 4), default=0, metavar="N", help=told)
    add("--readings", type=whole(0, 16), default=0, metavar="N", help="votes on the statement's meaning [0]")
    told = "run every program on so many variations of its task's examples as well [0]"
    add("--mutations", type=whole(0, 1000), default=0, metavar="N", help=told)
    add("--inputs-file", type=Path, metavar="FILE", help="and on inputs of your own, JSON lines")
    add("--samples", type=Path, metavar="DIR", help="where the samples are kept [POOL/pool]")
    add("--frozen", action="store_true", help="no model: samples that are not there make a task fail")
    add("--spans", action="store_true", help="samples that lack their hidden states are read for them")
    add("--pool", type=Path, metavar="DIR", help="where the pool is kept [DATA_DIR/pools/NAME]")
    add(
        "--model", metavar="M", help="a model of the catalogue, for a stack started here [that of atlas.conf]"
    )
    add("--target", metavar="URL", help="a gateway, without a sample pool [a stack of its own]")
    add("--concurrency", type=whole(1, 64), default=1, metavar="N", help="tasks in flight [1]")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    add("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]")
    options = parser.parse_args(argv)
    if options.target is not None and (options.frozen or options.samples or options.spans):
        parser.error("--target draws through another gateway: --frozen, --samples and --spans go without it")
    if options.frozen and options.spans:
        parser.error("--spans asks the model server, and with --frozen there is none")
    try:
        return options, from_options(options)
    except BadInput as error:
        parser.error(str(error))


def main(argv: Sequence[str] | None = None) -> int:
    """Record and return the exit code."""
    options, selection = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> DeepPool:
        return run_interruptible(record(options, selection, load(options.config), err))

    result = carry_out(work, _show, err, json=options.json, again="the same command goes on")
    if isinstance(result, int):
        return result
    return WITH_ERRORS if result.errors else COMPLETE


def _show(result: DeepPool, console: Console) -> None:
    said = (
        f"{result.pool}: {result.tasks} tasks, {result.programs} programs, {result.inputs} inputs, "
        f"{result.runs} runs made now, {result.errors} errors"
    )
    if result.drawn is not None:
        said += f"; samples: {result.drawn} drawn now, {result.recorded} recorded before"
    if result.spans_read:
        said += f", {result.spans_read} of them read again for their hidden states"
    console.print(said, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
