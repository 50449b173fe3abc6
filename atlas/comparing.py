"""The part of the brain that compares programs with each other, where nobody knows a right answer.

Pure, like `atlas.pipeline`, which asks it. Programs that could all be handed back are run on generated
inputs, a round at a time:

    WriteInputs ─▶ MakeInputs ─▶ Probe (each program) ─▶ ClusterCandidates ─┬▶ agreed: the task ends
          ▲                                                                ├▶ clear: select
          └──────────── inputs on which the two leading clusters differ ◀──┴▶ contested, last: ReadStatement

A round takes tokens, so the first begins when there are two different programs to compare, and a further one
only once nothing more is drawn. What comes of a comparison (`CandidatesClustered`) is the lens's to say.
"""

from __future__ import annotations

from atlas.budget import affordable, may_write
from atlas.commands import AnyCommand, ClusterCandidates, MakeInputs, Probe, ReadStatement, WriteInputs
from atlas.contracts import Candidate
from atlas.state import TaskState

CALLS_A_ROUND = 3  # inputs, a generator, a validator


def distinct(candidates: list[Candidate]) -> list[Candidate]:
    """The first candidate of each program text: the others would give the same."""
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.code or "", candidate)
    return list(first.values())


def begun_rounds(state: TaskState, entrants: list[Candidate]) -> list[AnyCommand]:
    """Commands of the rounds not carried out for every program there is: the first, others once begun.

    Empty: every program has been run on its inputs, or there is nothing to compare yet.
    """
    programs = distinct(entrants)
    if not state.compares or len(programs) < 2:
        return []
    for number in range(state.task.policy.distinguish + 1):
        if number and f"write:{number}" not in state.issued:
            break
        between = state.clustered.contested if number and state.clustered else None
        if work := _round(state, number, between, programs):
            return work
    return []


def clustering(state: TaskState, entrants: list[Candidate]) -> list[AnyCommand]:
    """The clustering of what is known now, if it is not done."""
    if not state.compares or len(entrants) < 2:
        return []
    name = f"cluster:{len(entrants)}-{len(state.probes)}"
    return [] if state.done(name) else [ClusterCandidates(id=name)]


def contest(state: TaskState, entrants: list[Candidate]) -> list[AnyCommand]:
    """What tells the two leading clusters apart, once nothing more is drawn: inputs first, then the model."""
    policy = state.task.policy
    between = state.clustered.contested if state.clustered else None
    if between is None or agreed(state) or len(distinct(entrants)) < 2:
        return []
    for number in range(1, policy.distinguish + 1):
        name = f"write:{number}"
        if name not in state.issued and may_write(state, name, 1):
            return [WriteInputs(id=name, round=number, between=between)]
    if policy.readings and not state.done("read") and affordable(state, "read", policy.readings):
        return [ReadStatement(id="read", between=between)]
    return []


def agreed(state: TaskState) -> bool:
    """Whether as many independently planned programs agree as the policy wants for an early end."""
    wanted = state.task.policy.stop_when_agreeing
    return wanted > 0 and state.clustered is not None and state.clustered.agreeing >= wanted


def _round(
    state: TaskState, number: int, between: tuple[str, str] | None, programs: list[Candidate]
) -> list[AnyCommand]:
    write, make = f"write:{number}", f"inputs:{number}"
    if not state.done(write) and (number or may_write(state, write, CALLS_A_ROUND)):
        return [WriteInputs(id=write, round=number, between=between)]
    if not state.done(make):  # what the model could not write leaves the examples to be varied
        return [MakeInputs(id=make, round=number)]
    made = state.inputs.get(number)
    if made is None or not made.inputs:
        return []
    names = [(f"probe:{number}:{program.id}", program) for program in programs]
    return [
        Probe(id=name, round=number, candidate=program.id) for name, program in names if not state.done(name)
    ]
