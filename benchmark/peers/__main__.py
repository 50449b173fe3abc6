"""ATLAS and others on the same tasks, model server, token budget and grader: one table.

    python -m benchmark.peers --limit 8
    python -m benchmark.peers --dataset data/mbpp_plus.jsonl --limit 30 --choose-seed 0 --json

This module reads the arguments and wires the parts; docs/PEERS.md says what each system is.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from atlas import running_stack
from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.embedded.own_stack import Stack, reach
from atlas.errors import BadInput, StartupError
from atlas.llama import LlamaClient
from atlas.policy import POLICIES
from benchmark.command import COMPLETE, WITH_ERRORS, carry_out, whole
from benchmark.conditions import Variant
from benchmark.datasets import selection as tasks_of
from benchmark.datasets.selection import Selection
from benchmark.peers.compare import compare
from benchmark.peers.optillm import Approach, Optillm
from benchmark.peers.progress import PeersProgress
from benchmark.peers.proxy import MeteringProxy
from benchmark.peers.store import Comparison, PeerStore, read_file, read_records
from benchmark.peers.systems import AtlasSystem, OptillmSystem, System
from benchmark.peers.table import WIDTH, PeersResult, drawn, summarise
from benchmark.run_store import content_sha256
from benchmark.scoring.grader import Grader
from benchmark.v3_runner import RUN_ID

OPTILLM: dict[str, Approach] = {f"optillm-{approach}": approach for approach in get_args(Approach)}
SYSTEMS = ("full", "resample", *OPTILLM)
BUDGET = 2048  # at 25 tokens/s a task takes the four systems some three minutes
EXAMPLES = """examples:
  python -m benchmark.peers --limit 8                              the first 8 bundled tasks
  python -m benchmark.peers --dataset a.jsonl,b.jsonl --limit 30 --choose-seed 0   30 of two files, at random
  python -m benchmark.peers --systems full,A,optillm-bon --token-budget 4096
  python -m benchmark.peers --run-id monday                        begin 'monday', or go on with it
  python -m benchmark.peers --run-id monday --table                the table of 'monday' as it stands
  python -m benchmark.peers --limit 8 --json | tail -n 1 | jq '.systems[] | {system, pass_rate}'

exit codes: 0 every pair of task and system has a result; 3 some ended in 'error' (the same --run-id retries
just those); 1 could not run; 2 wrong arguments; 130 interrupted (the same --run-id goes on)"""


@dataclass(frozen=True)
class Options:
    """The arguments, with a run id in any case."""

    tasks: Selection
    systems: tuple[str, ...]
    token_budget: int
    seed: int
    run_id: str
    table: bool
    json: bool
    config: Path | None


def parse(argv: Sequence[str]) -> Options:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.peers",
        description="ATLAS and other systems on the same tasks, model server, token budget and grader.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    tasks_of.add_options(parser)
    add = parser.add_argument
    names = ", ".join(OPTILLM)
    what = f"policies of ATLAS, {names}; each is compared with the first [{','.join(SYSTEMS)}]"
    add("--systems", type=_systems, default=SYSTEMS, metavar="A,B,...", help=what)
    add(
        "--token-budget",
        type=whole(1),
        default=BUDGET,
        metavar="N",
        help=f"most tokens to generate per task and system [{BUDGET}]",
    )
    add("--seed", type=whole(0), default=0, metavar="S", help="seed of the sampling [0]")
    add("--run-id", type=_run_id, metavar="ID", help="name of the comparison; an existing one is resumed")
    add("--table", action="store_true", help="print the table of --run-id as it stands; run nothing")
    add("--json", action="store_true", help="last line of stdout: the result as one JSON object")
    add("--config", type=Path, metavar="FILE", help="settings file [$ATLAS_CONF, else ./atlas.conf]")
    read = parser.parse_args(argv)
    if read.table and not read.run_id:
        parser.error("--table needs --run-id")
    try:
        tasks = tasks_of.from_options(read)
    except BadInput as error:
        parser.error(str(error))
    return Options(
        tasks=tasks,
        systems=read.systems,
        token_budget=read.token_budget,
        seed=read.seed,
        run_id=read.run_id or f"peers-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}",
        table=read.table,
        json=read.json,
        config=read.config,
    )


async def run(options: Options, settings: Settings, console: Console) -> PeersResult:
    """Run (or go on with) the comparison and return its table.

    Raises:
        AtlasError: it cannot begin or go on; what is done is kept.
    """
    tasks = tasks_of.load(options.tasks, settings.data_dir).tasks
    for task in tasks:
        if task.problem.kind not in ("stdin", "function"):
            raise BadInput(
                f"{task.id} asks for no program ({task.problem.kind}): peers are given programs only"
            )
    comparison = Comparison(
        dataset=options.tasks.label,
        dataset_sha256=content_sha256(tasks),
        tasks=tuple(task.id for task in tasks),
        token_budget=options.token_budget,
        seed=options.seed,
        grader="official",
    )
    with PeerStore(directory(options, settings), comparison) as store:
        pairs = [(system, task.id) for system in options.systems for task in tasks]
        todo = [pair for pair in pairs if store.attempt(*pair) is not None]
        began = f"{store.directory.name}: {len(pairs) - len(todo)} of {len(pairs)} done ({store.directory})"
        console.print(began, markup=False, highlight=False, soft_wrap=True)
        if todo:
            async with AsyncExitStack() as held:
                stack = await held.enter_async_context(reach(settings, console))
                systems = await _systems_of(options, settings, stack, store, held, console)
                grader = await held.enter_async_context(Grader(isolation=settings.sandbox_isolation))
                progress = PeersProgress(console, len(pairs), len(pairs) - len(todo))
                await compare(tasks, systems, store, grader, stack, progress)
        result = summarise(store.directory, store.file, store.records.values(), options.systems)
        store.save_result(result.model_dump_json())
        return result


def directory(options: Options, settings: Settings) -> Path:
    """Return where the comparison is kept."""
    return (settings.data_dir / "peers" / "runs" / options.run_id).absolute()


async def _systems_of(
    options: Options,
    settings: Settings,
    stack: Stack,
    store: PeerStore,
    held: AsyncExitStack,
    console: Console,
) -> list[System]:
    """Make the systems, all on the model server of the stack, and see that they are what they were."""
    url = _llama_url(settings, stack)
    async with aclosing(LlamaClient(url)) as llama:
        model = await llama.model()
    store.bind_model(model)
    policies = await stack.gateway.policies()
    proxy = await held.enter_async_context(MeteringProxy(url, timeout_s=settings.task_deadline_seconds))
    optillm = Optillm(settings.data_dir / "peers" / "optillm")
    if any(name in OPTILLM for name in options.systems):
        console.print(f"optillm: in {optillm.directory}", markup=False, highlight=False, soft_wrap=True)
        versions = await optillm.install()
    systems: list[System] = []
    for name in options.systems:
        if name in OPTILLM:
            system: System = OptillmSystem(
                OPTILLM[name],
                optillm=optillm,
                versions=versions,
                proxy=proxy,
                model=model,
                budget=options.token_budget,
                seed=options.seed,
                timeout_s=settings.task_deadline_seconds,
            )
        else:
            variant = Variant(name=name, policy=name, changes={"token_budget": options.token_budget})
            system = AtlasSystem(stack.gateway, variant.policy_among(policies, options.seed), store)
        store.bind_system(system.name, system.what)
        systems.append(system)
    return systems


def _llama_url(settings: Settings, stack: Stack) -> str:
    """Return where the model server of the stack is.

    Raises:
        StartupError: the stack is not one that runs here on this DATA_DIR, and LLAMA_URL is not set.
    """
    if settings.llama_url is not None:
        return settings.llama_urls[0]  # peers know one server
    found = running_stack.find(settings.run_dir)
    if found is None or found.llama_url is None or found.gateway_url != stack.gateway.url:
        raise StartupError(
            f"the stack at {stack.gateway.url} does not run on {settings.data_dir}, so its model server "
            "cannot be found: set DATA_DIR to its own, or LLAMA_URL to its model server"
        )
    return found.llama_url.partition(",")[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    err = Console(stderr=True, soft_wrap=True)
    options = parse(argv)

    def work() -> PeersResult:
        settings = load(options.config)
        if not options.table:
            return run_interruptible(run(options, settings, err))
        where = directory(options, settings)
        file = read_file(where)
        return summarise(where, file, read_records(where), list(file.systems) or list(options.systems))

    def show(result: PeersResult, _: Console) -> None:
        Console(stderr=options.json, width=max(WIDTH, err.width)).print(drawn(result))

    again = f"go on with:  {_again(argv, options.run_id)}"
    result = carry_out(work, show, err, json=options.json, again=again)
    if isinstance(result, int):
        return result
    return WITH_ERRORS if result.errors else COMPLETE


def _again(argv: Sequence[str], run_id: str) -> str:
    """Return the command that goes on with the comparison."""
    named = any(word.startswith("--run-id") for word in argv)
    return shlex.join(["python", "-m", "benchmark.peers", *argv, *([] if named else ["--run-id", run_id])])


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in POLICIES and name not in OPTILLM:
            there = ", ".join((*OPTILLM, *POLICIES))
            raise argparse.ArgumentTypeError(f"no system {name!r}; there are: {there}")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} names a system twice")
    return names


def _run_id(text: str) -> str:
    if not RUN_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: up to 100 letters, digits, '.', '_' and '-', not first")
    return text


if __name__ == "__main__":
    sys.exit(main())
