"""What tasks cost the journal's Redis: commands, bytes and processor time, beyond what waiting workers cost.

    python -m benchmark.redis_cost --json

A stack of its own (its Redis too) solves bundled tasks; Redis's own counters are read before and after. What
idle workers cost goes with seconds and not with tasks, so it is measured first and taken off. The model is
scripted: no time passes in it, nothing passes its tests, and so every phase of the policy has its turn, which
makes a task as dear to Redis as it gets. With `--model` the one of the settings answers.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import Field
from redis.asyncio import Redis
from rich.console import Console

from atlas import models, running_stack
from atlas.api import SubmitRequest
from atlas.cancellation import run_interruptible
from atlas.config import Settings, load
from atlas.contracts import Contract
from atlas.embedded.own_stack import Stack, private
from atlas.errors import BadInput, StartupError
from atlas.policy import named
from atlas.redis_client import connect
from benchmark.command import COMPLETE, carry_out, whole
from benchmark.datasets.selection import Selection
from benchmark.datasets.selection import load as load_tasks
from benchmark.recorded.serving import served
from benchmark.scoring.private_directory import PrivateDirectory
from benchmark.scripted_model import scripted
from benchmark.tasks import Task

SETTLE_S = 2.0
# What INFO calls what is counted here. Commands inside of scripts are counted, as Redis counts them.
COUNTERS = {
    "commands": "total_commands_processed",
    "received": "total_net_input_bytes",
    "sent": "total_net_output_bytes",
    "memory": "used_memory",
    "file": "aof_current_size",
}


class Reading(Contract):
    """Redis's counters at one moment: seconds of processor, commands, bytes."""

    at: float
    cpu_s: float
    commands: float
    received: float
    sent: float
    memory: float
    file: float

    @classmethod
    def of(cls, info: Mapping[str, float], at: float) -> Reading:
        """Read the answer to INFO."""
        cpu_s = info["used_cpu_user"] + info["used_cpu_sys"]
        return cls(at=at, cpu_s=cpu_s, **{name: info[key] for name, key in COUNTERS.items()})


class RedisCost(Contract):
    """What Redis spent on each task, and each second on workers that wait (`idle_`).

    `seconds`: from the first submission to the last end. `tasks_per_core_second`: how many tasks a second
    would keep one core busy, Redis having no more than one for commands.
    """

    tasks: int
    decided: int
    policy: str
    seconds: float
    idle_seconds: float
    idle_commands: float = Field(description="a second")
    idle_cpu_s: float = Field(description="a second")
    commands: float
    received: float = Field(description="bytes")
    sent: float = Field(description="bytes")
    memory: float = Field(description="bytes that stay")
    file: float = Field(description="bytes of the append-only file, before it is rewritten")
    cpu_s: float
    tasks_per_core_second: float | None = Field(description="None: too little to be measured")


def cost(
    idle: tuple[Reading, Reading], busy: tuple[Reading, Reading], *, tasks: int, decided: int, policy: str
) -> RedisCost:
    """Return the cost of a task from readings around an idle time and around the tasks."""
    idle_seconds, seconds = idle[1].at - idle[0].at, busy[1].at - busy[0].at

    def idle_rate(name: str) -> float:
        return float(getattr(idle[1], name) - getattr(idle[0], name)) / idle_seconds

    def each(name: str) -> float:
        used = getattr(busy[1], name) - getattr(busy[0], name)
        return max(0.0, float(used - seconds * idle_rate(name)) / tasks)

    per_task = {name: each(name) for name in ("cpu_s", "commands", "received", "sent")}
    # What is stored does not grow while nothing happens.
    stored = {name: (getattr(busy[1], name) - getattr(busy[0], name)) / tasks for name in ("memory", "file")}
    return RedisCost(
        tasks=tasks,
        decided=decided,
        policy=policy,
        seconds=seconds,
        idle_seconds=idle_seconds,
        idle_commands=idle_rate("commands"),
        idle_cpu_s=idle_rate("cpu_s"),
        tasks_per_core_second=1 / per_task["cpu_s"] if per_task["cpu_s"] else None,
        **per_task,
        **stored,
    )


async def measure(options: argparse.Namespace, settings: Settings, console: Console) -> RedisCost:
    """Start a stack, let it wait, have it solve the tasks.

    Raises:
        AtlasError: the stack does not start or does not go on, or there are too few tasks.
    """
    tasks = load_tasks(Selection(limit=options.tasks), settings.data_dir).tasks
    if len(tasks) < options.tasks:
        raise BadInput(f"there are {len(tasks)} bundled tasks")
    directory = PrivateDirectory.make("atlas-redis-cost-")
    own = settings.model_copy(update={"data_dir": directory.path, "redis_url": None})
    async with AsyncExitStack() as held:
        held.callback(directory.close)
        if not options.model:
            url = await held.enter_async_context(served(scripted(options.tokens, settings.slots)))
            own = own.model_copy(update={"llama_url": url})
        elif settings.llama_url is None:
            own = own.model_copy(update={"model_path": models.resolve(settings).path})
        stack = await held.enter_async_context(private(own, console))
        redis = connect(await _redis_url(own))
        held.push_async_callback(redis.aclose)
        return await _measured(options, tasks, stack, redis)


async def _measured(
    options: argparse.Namespace, tasks: Sequence[Task], stack: Stack, redis: Redis
) -> RedisCost:
    await asyncio.sleep(SETTLE_S)
    idle_from = await _reading(redis)
    await asyncio.sleep(options.idle_seconds)
    idle_to = await _reading(redis)
    waiting, decided = iter(tasks), 0

    async def work() -> None:
        nonlocal decided
        for task in waiting:
            request = SubmitRequest(problem=task.problem, policy=options.condition, seed=options.seed)
            view, _ = await stack.gateway.submit(request, task.id)
            ended = await stack.gateway.wait(view.id)
            decided += ended.status == "decided"

    await asyncio.gather(*(work() for _ in range(options.concurrency)))
    busy_to = await _reading(redis)
    return cost(
        (idle_from, idle_to),
        (idle_to, busy_to),
        tasks=len(tasks),
        decided=decided,
        policy=options.condition,
    )


async def _reading(redis: Redis) -> Reading:
    return Reading.of(await redis.info(), time.monotonic())


async def _redis_url(settings: Settings) -> str:
    for _ in range(100):  # the gateway may be ready before the stack tells of itself
        stack = running_stack.find(settings.run_dir)
        if stack is not None and stack.redis_url is not None:
            return stack.redis_url
        await asyncio.sleep(0.1)
    raise StartupError("the stack that was started does not tell where its Redis is")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.redis_cost", description=__doc__, formatter_class=layout
    )
    add = parser.add_argument
    add("--tasks", type=whole(1), default=8, metavar="N", help="bundled tasks [8]")
    add("--concurrency", type=whole(1), default=4, metavar="N", help="tasks in flight [4]")
    add("--condition", default="full", metavar="NAME", help="policy [full]")
    add("--model", action="store_true", help="draw from the model of the settings")
    add("--tokens", type=whole(1), default=400, metavar="N", help="tokens of a scripted program [400]")
    add("--seed", type=whole(0), default=0, metavar="N", help="seed of the policy [0]")
    add("--idle-seconds", type=whole(1), default=20, metavar="S", help="how long it waits first [20]")
    add("--config", type=Path, metavar="FILE", help="settings [$ATLAS_CONF, else ./atlas.conf]")
    add("--json", action="store_true", help="end stdout with one JSON object")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, return the exit code."""
    options = parse(sys.argv[1:] if argv is None else argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> RedisCost:
        named(options.condition)  # refuses before anything starts
        return run_interruptible(measure(options, load(options.config), err))

    result = carry_out(work, _show, err, json=options.json)
    return result if isinstance(result, int) else COMPLETE


def _show(cost: RedisCost, console: Console) -> None:
    lines = [
        f"{cost.tasks} tasks under {cost.policy}, {cost.decided} decided, in {cost.seconds:.0f} s",
        f"a task: {cost.commands:.0f} commands, {cost.received / 1e3:.0f} kB received, "
        f"{cost.sent / 1e3:.0f} kB sent, {cost.cpu_s * 1e3:.1f} ms of processor",
        f"it keeps {cost.memory / 1e3:.0f} kB in memory, and wrote {cost.file / 1e3:.0f} kB of file",
        f"idle workers, each second: {cost.idle_commands:.0f} commands, {cost.idle_cpu_s * 1e3:.1f} ms",
    ]
    console.print("\n".join(lines), markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
