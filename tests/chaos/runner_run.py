"""One run of `benchmark/v3_runner.py` killed at its moments."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.api import SubmitRequest
from atlas.client import Gateway
from tests.chaos.field import REPO, Field
from tests.chaos.lives import TASKS_MOST, Lives, Program, Tally, live
from tests.chaos.request_log import Request
from tests.chaos.runner_moments import Moment
from tests.chaos.runner_verdict import Finished, read
from tests.chaos.schedule import STACK, Killed

TOKENS_PER_SECOND = 100
CONCURRENCY = 2
RUN_ID = "chaos"


@dataclass(frozen=True)
class RunnerRun:
    """What came of it.

    `phases`: kills by phase. `stumbles`: lives that ended by themselves before all was done. `left`: command
    lines of what still ran when it should not. `stack_kills`: kills that took a stack along, and when.
    """

    finished: Finished
    requests: Sequence[Request]
    phases: Counter[str]
    stumbles: int
    left: Sequence[str]
    stack_kills: Sequence[Killed]


def write_dataset(requests: Sequence[SubmitRequest], directory: Path) -> Path:
    """Write the tasks in LiveCodeBench's schema: the examples as public tests, one more as the hidden one."""
    directory.mkdir(parents=True)
    path = directory / "tasks.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for request in requests:
            problem = request.problem
            words = problem.statement.removesuffix(".").split()
            factor, offset = int(words[-3]), int(words[-1])
            hidden = [{"input": "7 30\n", "output": f"{37 * factor + offset}\n", "testtype": "stdin"}]
            row = {
                "question_id": problem.title,
                "platform": "chaos",
                "question_title": problem.title,
                "question_content": problem.statement,
                "starter_code": "",
                "difficulty": "easy",
                "contest_date": "2026-01-01T00:00:00",
                "public_tests": [
                    {"input": each.input, "output": each.output, "testtype": "stdin"}
                    for each in problem.examples
                ],
                "private_tests": hidden,
                "metadata": {},
            }
            file.write(json.dumps(row) + "\n")
    return path


def program(field: Field, dataset: Path, condition: str, tasks: int) -> Program:
    """The runner, measuring the data set with a condition."""
    results = field.directory / "runs" / RUN_ID
    arguments = ["--dataset", str(dataset), "--condition", condition, "--run-id", RUN_ID]
    arguments += ["--concurrency", str(CONCURRENCY), "--runs-dir", str(results.parent), "--json"]
    return Program(
        command=[sys.executable, str(REPO / "benchmark" / "v3_runner.py"), *arguments],
        environment=field.environment,
        results=results,
        records="tasks/*.json",
        tasks=tasks,
        begun="tasks done",
    )


async def drive(
    requests: Sequence[SubmitRequest],
    directory: Path,
    moments: Sequence[Moment] = (),
    *,
    condition: str,
    own_stack: bool = False,
    progress: Callable[[int, int], object] = lambda recorded, killed: None,
) -> RunnerRun:
    """Have the runner measure the tasks in `directory`, and kill it at the moments.

    With `own_stack` no stack runs: each life of the runner starts its own, which ends with it. The model
    server is never killed, so that its log of requests is whole.

    Raises:
        InfrastructureError: the stack does not start, or the runner does not get done.
    """
    dataset = write_dataset(requests, directory)
    field = Field(directory, tokens_per_second=TOKENS_PER_SECOND, processes=False)
    runner = program(field, dataset, condition, len(requests))
    told, left = Tally(), list[str]()
    try:
        if own_stack:
            field.start_model()
        else:
            await field.start()
        async with Lives(field, runner) as lives:
            await live(lives, moments, told, progress)
        if own_stack:
            await field.start_stack()
        async with Gateway(field.url) as gateway:
            journals = await journals_of(gateway)
        finished = read(runner.results, journals)
    finally:
        left += await asyncio.to_thread(field.stop)
    stack_kills = [Killed(STACK, time_) for time_ in told.times] if own_stack else []
    left += told.left
    return RunnerRun(finished, field.requests, told.phases, told.stumbles, left, stack_kills)


async def journals_of(gateway: Gateway) -> dict[str, str]:
    """Return the journal of every task the gateway has, by its id there."""
    ids = [task.id for task in (await gateway.tasks(TASKS_MOST)).tasks]
    return {task: await gateway.journal(task) for task in ids}
