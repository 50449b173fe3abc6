"""Reads journals into stores: every model call and every run that a task made, by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atlas.contracts import Execution, Problem
from atlas.events import (
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    Entry,
    ExecutionFinished,
    ModelCallFinished,
    SelfTestsMade,
    SelfTestsRun,
    TaskSubmitted,
)
from atlas.executor import HowToRun
from benchmark.recorded.completions import Call, CompletionStore, Recorded, sha256
from benchmark.recorded.executions import ExecutionStore, how_to_run, run_of


def read_journal(entries: Iterable[Entry], completions: CompletionStore, executions: ExecutionStore) -> None:
    """Add what a task's journal tells to both stores; one that is not of a task's beginning tells nothing."""
    model, how, programs = "", HowToRun(), dict[str, str]()
    problem: Problem | None = None
    self_tests: list[str] = []
    for entry in entries:
        event = entry.event
        if isinstance(event, TaskSubmitted):
            model, problem = event.pins.model, event.problem
            how = how_to_run(problem)
        elif isinstance(event, ModelCallFinished):
            call, choices = recorded_call(event, model)
            completions.add(call, choices)
        elif isinstance(event, CandidateGenerated):
            programs[event.candidate.id] = event.candidate.code or ""
        elif isinstance(event, ExecutionFinished) and problem is not None:
            inputs = [example.input for example in problem.examples]
            _add_runs(event.execution, executions, how, programs[event.candidate], inputs)
        elif isinstance(event, BruteForceWritten):
            programs[event.program] = event.code
        elif isinstance(event, BruteForceChecked) and problem is not None:
            inputs = [example.input for example in problem.examples]
            _add_runs(event.execution, executions, how, programs[event.program], inputs)
        elif isinstance(event, SelfTestsMade):
            self_tests = [test.input for test in event.tests]
        elif isinstance(event, SelfTestsRun):
            _add_runs(event.execution, executions, how, programs[event.candidate], self_tests)


def recorded_call(event: ModelCallFinished, model: str) -> tuple[Call, dict[int, Recorded]]:
    """Return a journalled call and its choices by seed.

    A journal holds no stop strings, and the seconds of the whole call only.
    """
    call = Call(
        model=model,
        prompt=event.prompt,
        sampling=event.sampling,
        n=len(event.choices),
        stop=None,
        schema_sha256=event.schema_sha256,
    )
    choices = {
        seed: Recorded(
            choice=choice,
            # What cut it may have been the context; its length is what it was cut at.
            asked=choice.usage.tokens_out if choice.finish == "length" else event.sampling.max_tokens,
            stop=None,
            slot=event.slot,
            predicted_s=event.server_s,
        )
        for seed, choice in zip(call.seeds, event.choices, strict=True)
    }
    return call, choices


def _add_runs(
    execution: Execution, executions: ExecutionStore, how: HowToRun, code: str, inputs: Sequence[str]
) -> None:
    executions.isolation = executions.isolation or execution.isolation
    for text, result in zip(inputs, execution.results, strict=False):
        if run := run_of(result):
            executions.add(how, sha256(code), sha256(text), run)
