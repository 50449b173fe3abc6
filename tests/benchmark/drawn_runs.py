"""Run directories with journals: what a task drew, said in a few words. For tests of grades and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from atlas.contracts import Candidate, Example, Problem, SamplingParams, Usage
from atlas.events import CandidateGenerated, Entry, Pins, TaskSubmitted
from atlas.policy import Policy
from benchmark.run_store import Configuration, RunStore, TaskRecord, content_sha256
from benchmark.tasks import HiddenTests, Task

PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="m")
SECRET_IN, SECRET_OUT = "CANARY-IN-777001", "CANARY-OUT-777002"
POOL = Policy(name="pool", k=16, stop_after_passing=0)


class Draw(NamedTuple):
    """One candidate."""

    code: str | None
    origin: Literal["sample", "plan", "repair"] = "sample"
    max_tokens: int = 100


def task(name: str, examples: int = 1) -> Task:
    shown = tuple(Example(input=f"{i}\n", output="1\n") for i in range(examples))
    return Task(
        id=name,
        title=name,
        platform="test",
        difficulty="easy",
        date=None,
        problem=Problem(statement=f"Solve {name}.", examples=shown),
        hidden=HiddenTests((Example(input=SECRET_IN, output=SECRET_OUT),)),
    )


def journal(policy: Policy, of: Task, draws: Sequence[Draw]) -> str:
    submitted = TaskSubmitted(problem=of.problem, policy=policy, pins=PINS, deadline_s=60)
    events: list[TaskSubmitted | CandidateGenerated] = [submitted]
    for i, draw in enumerate(draws):
        sampling = SamplingParams(temperature=policy.temperature, max_tokens=draw.max_tokens, seed=i)
        candidate = Candidate(
            id=f"c{i}", origin=draw.origin, code=draw.code, sampling=sampling, usage=Usage(tokens_out=9)
        )
        events.append(CandidateGenerated(command=f"g{i}", candidate=candidate))
    entries = [Entry(seq=i, time=float(i), event=event) for i, event in enumerate(events, start=1)]
    return "".join(entry.model_dump_json() + "\n" for entry in entries)


def make_run(
    directory: Path,
    tasks: Mapping[str, Sequence[Draw]],
    *,
    policy: Policy = POOL,
    wrong: Sequence[str] = (),
    errors: Sequence[str] = (),
    examples: int = 1,
) -> list[Task]:
    """Make a run in which each task handed in its first draw's program; return its tasks.

    Tasks pass but for those in `wrong`, and those in `errors` that have no result.
    """
    made = [task(name, examples) for name in tasks]
    configuration = Configuration(
        dataset="tasks",
        dataset_sha256=content_sha256(made),
        tasks=len(made),
        condition=policy.name,
        seed=0,
        grader="official",
    )
    with RunStore(directory, configuration) as store:
        store.bind_policy(policy)
        store.bind_pins(PINS)
        for of in made:
            outcome = "error" if of.id in errors else "failed" if of.id in wrong else "passed"
            path = store.save_journal(of.id, journal(policy, of, tasks[of.id]))
            view = _view(tasks[of.id][0].code)
            record = {"task": of.id, "outcome": outcome, "attempt": 1, "journal": path, "view": view}
            store.save(TaskRecord.model_validate(record | {"started_at": 1.0, "finished_at": 2.0}))
    return made


def _view(program: str | None) -> dict[str, object]:
    return {
        "id": "0" * 32,
        "status": "decided" if program is not None else "failed",
        "policy": "pool",
        "model": "m",
        "priority": "p1",
        "submitted_at": 1.0,
        "seconds": 1.0,
        "events": 3,
        "usage": {"tokens_in": 1, "tokens_out": 9},
        "program": program,
        "candidate": "c0" if program is not None else None,
    }
