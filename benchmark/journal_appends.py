"""What it costs to append to a journal, with Redis syncing every write and with it syncing each second.

    python -m benchmark.journal_appends --json

Two servers of their own, taken in turns, so that the machine's noise falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from atlas.contracts import Problem, SamplingParams, Usage
from atlas.embedded import redis_server
from atlas.events import Choice, ModelCallFinished, Pins, TaskSubmitted
from atlas.journal import Journal
from atlas.policy import A
from atlas.redis_client import connect

MODES = ("always", "everysec")
TASKS_A_ROUND = 5


async def measure(rounds: int) -> dict[str, float]:
    """Return the median milliseconds of an append, by `appendfsync`."""
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory(prefix="atlas-appends-") as directory:
        servers = {mode: redis_server.start(Path(directory) / mode) for mode in MODES}
        journals = {mode: Journal(connect(server.url)) for mode, server in servers.items()}
        for mode, journal in journals.items():
            await journal.redis.config_set("appendfsync", mode)
        for number in range(rounds):
            for mode, journal in journals.items():
                times[mode].append(await _round(journal, number))
        for journal in journals.values():
            await journal.redis.aclose()
        for server in servers.values():
            server.stop()
    return {mode: round(statistics.median(values) * 1000, 3) for mode, values in times.items()}


async def _round(journal: Journal, number: int) -> float:
    """Submit some tasks with a call each; return the seconds of one append."""
    pins = Pins(pipeline="0", prompts_sha256="0" * 64, model="none")
    submitted = TaskSubmitted(problem=Problem(statement="s"), policy=A, pins=pins, deadline_s=3600)
    choice = Choice(text="x" * 500, usage=Usage(tokens_out=100), finish="stop")
    sampling = SamplingParams(temperature=0, max_tokens=100, seed=0)
    began = time.perf_counter()
    for index in range(TASKS_A_ROUND):
        task = f"{number}-{index}"
        await journal.submit(task, submitted)
        call = ModelCallFinished(
            command="generate:0",
            call="generate:0/code:0",
            prompt="p" * 1000,
            sampling=sampling,
            choices=(choice,),
            server_s=1.0,
        )
        await journal.record(task, call, once="call:generate:0/code:0")
    return (time.perf_counter() - began) / (2 * TASKS_A_ROUND)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.journal_appends", description=measure.__doc__)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="rounds of ten appends [40]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    medians = asyncio.run(measure(options.rounds))
    if options.json:
        print(json.dumps({f"{mode}_ms": value for mode, value in medians.items()}))
    else:
        print("\n".join(f"appendfsync {mode}: {value} ms an append" for mode, value in medians.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
