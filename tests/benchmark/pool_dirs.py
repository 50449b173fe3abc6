"""Pools on disk whose candidates' outputs and rightness are written down; the lens's own code decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.api import view
from atlas.commands import (
    AnyCommand,
    ClusterCandidates,
    Execute,
    Generate,
    MakeInputs,
    Probe,
    Select,
    WriteInputs,
)
from atlas.contracts import (
    Candidate,
    Example,
    Execution,
    LogprobSummary,
    Problem,
    SamplingParams,
    TestResult,
    Usage,
    Verdict,
)
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    Entry,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    Pins,
    TaskSubmitted,
)
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun, WrittenInputs
from atlas.pipeline import advance, decide
from atlas.policy import Policy
from atlas.state import TaskState
from benchmark.grades import GradeFile, ProgramGrade
from benchmark.results import program_sha256
from benchmark.run_store import Configuration, GradeSummary, RunStore, TaskMeta, TaskRecord
from services.lens.clustering import cluster
from services.lens.selection import select


@dataclass(frozen=True)
class Draw:
    """A candidate: what it prints on every generated input, whether it passes the example, and is right."""

    output: str
    right: bool = False
    passes: bool = True
    logprob: float = -0.5
    code: str | None = "print({!r})"

    @property
    def program(self) -> str | None:
        return None if self.code is None else self.code.format(self.output)


def write_pool(
    directory: Path, tasks: dict[str, Sequence[Draw]], *, model: str = "m", graded: bool = True
) -> Path:
    """Write a pool of these tasks; all draw as many candidates."""
    k = max(map(len, tasks.values()))
    policy = Policy(name=f"deep-{k}", k=k, stop_after_passing=0, inputs=2)
    pins = Pins(pipeline="3", prompts_sha256="0" * 64, model=model)
    configuration = Configuration(
        dataset="d",
        dataset_sha256="ab" * 32,
        tasks=len(tasks),
        condition=policy.name,
        seed=0,
        grader="official",
    )
    with RunStore(directory, configuration) as store:
        store.bind_policy(policy)
        store.bind_pins(pins)
        for name, draws in tasks.items():
            entries = journal(draws, policy, pins)
            text = "".join(entry.model_dump_json() + "\n" for entry in entries)
            store.save(
                TaskRecord(
                    task=name,
                    outcome="failed",
                    attempt=1,
                    grade=grade(False),
                    view=view("0" * 32, entries),
                    journal=store.save_journal(name, text),
                    watched=True,
                    started_at=1.0,
                    finished_at=2.0,
                    meta=TaskMeta(platform="p", difficulty="easy", date=""),
                )
            )
    if graded:
        with GradeFile(directory) as file:
            for name, draws in tasks.items():
                for draw in draws:
                    if draw.program is not None:
                        file.add(
                            ProgramGrade(
                                task=name,
                                program_sha256=program_sha256(draw.program),
                                official=grade(draw.right),
                                strict=grade(draw.right),
                            )
                        )
    return directory


def grade(passed: bool) -> GradeSummary:
    verdict = Verdict.ACCEPTED if passed else Verdict.WRONG_ANSWER
    return GradeSummary(
        checker="official", passed=passed, tests=1, verdicts=(verdict,), isolation="fake", seconds=0.1
    )


def journal(draws: Sequence[Draw], policy: Policy, pins: Pins) -> list[Entry]:
    problem = Problem(statement="s", examples=(Example(input="1", output="1"),))
    submitted = TaskSubmitted(problem=problem, policy=policy, pins=pins, deadline_s=60)
    state, entries = TaskState(), list[Entry]()
    events: Sequence[AnyEvent] = [submitted]
    while not state.closed:
        step = advance(state, events)
        entries += [Entry(seq=state.seq + i + 1, time=1.0, event=e) for i, e in enumerate(step.events)]
        state = step.state
        if not state.closed:
            command = min(decide(state), key=lambda c: c.id)
            events = _answer(state, command, draws)
    return entries


def _answer(state: TaskState, command: AnyCommand, draws: Sequence[Draw]) -> Sequence[AnyEvent]:
    if isinstance(command, Generate):
        numbers = range(command.first, command.first + command.n)
        return [CandidateGenerated(command=command.id, candidate=_candidate(draws, i)) for i in numbers]
    if isinstance(command, Execute):
        verdict = Verdict.ACCEPTED if draws[int(command.candidate[1:])].passes else Verdict.WRONG_ANSWER
        execution = Execution(results=(TestResult(verdict=verdict),), tests=1, isolation="fake", seconds=0.1)
        return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=execution)]
    if isinstance(command, WriteInputs):
        return [InputsWritten(command=command.id, round=0, written=WrittenInputs(texts=("2", "3")))]
    if isinstance(command, MakeInputs):
        inputs = tuple(GeneratedInput(text=text, origin="model") for text in ("2", "3"))
        return [InputsMade(command=command.id, round=0, inputs=inputs)]
    if isinstance(command, Probe):
        run = ProbedRun(status=RunStatus.OK, output=draws[int(command.candidate[1:])].output)
        return [
            CandidateProbed(
                command=command.id,
                round=0,
                candidate=command.candidate,
                runs=(run, run),
                isolation="fake",
                seconds=0.1,
            )
        ]
    if isinstance(command, ClusterCandidates):
        return [cluster(state, command.id)]
    assert isinstance(command, Select)
    return [select(state, command.id)]


def _candidate(draws: Sequence[Draw], index: int) -> Candidate:
    draw = draws[index]
    return Candidate(
        id=f"c{index}",
        origin="sample",
        code=draw.program,
        sampling=SamplingParams(temperature=0.7, max_tokens=64, seed=index),
        usage=Usage(tokens_in=10, tokens_out=5),
        logprob=LogprobSummary(mean=draw.logprob, minimum=-1, lowest_decile=-1),
    )
