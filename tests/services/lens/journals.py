"""Whole journals, as the pipeline asks for them, of programs whose outputs are written down."""

from __future__ import annotations

from collections.abc import Sequence

from lens_states import Drawn, Given, ran, run

from atlas.commands import (
    AnyCommand,
    ClusterCandidates,
    Execute,
    Generate,
    MakeInputs,
    Probe,
    ReadStatement,
    Score,
    Select,
    WriteInputs,
)
from atlas.contracts import Example, Problem
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    CandidateScored,
    Entry,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    Pins,
    StatementRead,
    TaskSubmitted,
)
from atlas.generated_inputs import GeneratedInput, WrittenInputs
from atlas.pipeline import advance, decide
from atlas.policy import Policy
from atlas.state import TaskState
from services.lens.clustering import cluster
from services.lens.selection import select


def journal(*drawn: Drawn, problem: Problem | None = None, **policy: object) -> list[Entry]:
    """Solve a task: each round's inputs are as many as the programs' outputs there are."""
    asked = {
        "name": "t",
        "k": len(drawn),
        "stop_after_passing": 0,
        "inputs": 8,
        "input_tokens": 1536,
        "selector": "majority",
    }
    state, entries = TaskState(), []
    events: Sequence[AnyEvent] = [
        TaskSubmitted(
            problem=problem or Problem(statement="s", examples=(Example(input="1", output="1"),)),
            policy=Policy.model_validate(asked | policy),
            pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="m"),
            deadline_s=60,
        )
    ]
    while not state.closed:
        step = advance(state, events)
        entries += [Entry(seq=state.seq + i + 1, time=1.0, event=e) for i, e in enumerate(step.events)]
        state = step.state
        if not state.closed:
            command = min(decide(state), key=lambda c: c.id)
            events = _answer(state, command, drawn)
    return entries


def _answer(state: TaskState, command: AnyCommand, drawn: Sequence[Drawn]) -> Sequence[AnyEvent]:
    if isinstance(command, Generate):
        names = range(command.first, command.first + command.n)
        return [CandidateGenerated(command=command.id, candidate=drawn[i].candidate(f"c{i}")) for i in names]
    if isinstance(command, Execute):
        one = ran(drawn[int(command.candidate[1:])].passed, len(state.task.problem.examples))
        return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=one)]
    if isinstance(command, WriteInputs):
        return [InputsWritten(command=command.id, round=command.round, written=WrittenInputs())]
    if isinstance(command, MakeInputs):
        width = max((len(_given(d, command.round)) for d in drawn), default=0)
        made = tuple(GeneratedInput(text=f"{command.round} {i}", origin="model") for i in range(width))
        return [InputsMade(command=command.id, round=command.round, inputs=made)]
    if isinstance(command, Probe):
        runs = tuple(run(g) for g in _given(drawn[int(command.candidate[1:])], command.round))
        of = {"round": command.round, "candidate": command.candidate, "isolation": "fake", "seconds": 0.1}
        return [CandidateProbed.model_validate({"command": command.id, "runs": runs, **of})]
    if isinstance(command, ClusterCandidates):
        return [cluster(state, command.id)]
    if isinstance(command, ReadStatement):
        return [StatementRead(command=command.id, between=command.between, input="0 0", votes=(2, 1))]
    if isinstance(command, Score):
        energy = state.candidates[command.candidate].energy
        return [CandidateScored(command=command.id, candidate=command.candidate, energy=energy)]
    assert isinstance(command, Select)
    return [select(state, command.id)]


def _given(one: Drawn, number: int) -> Sequence[Given]:
    return (one.rounds[number] or ()) if number < len(one.rounds) else ()
