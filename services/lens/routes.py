"""The lens's answers over stored journals: what it would choose, and why. No journal is written to."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from atlas.errors import BadInput
from atlas.events import CLOSING, CandidatesClustered, CommandFailed
from atlas.selection_api import JournalRequest, Selection, WeighedCluster
from atlas.state import InvalidHistory, TaskState, fold
from services.lens.clustering import cluster
from services.lens.selection import compared, decision

router = APIRouter()


@router.post("/v1/select")
def select_program(body: JournalRequest) -> Selection:
    """Choose the one program of a journal, as if its Select were to be answered now."""
    state = before_decision(body)
    found = compared(state)
    return Selection(
        decision=decision(state, "select", found),
        clusters=tuple(
            WeighedCluster(
                candidates=w.cluster.ids,
                program=w.cluster.program.id,
                probability=w.probability,
                features=dict(w.features),
            )
            for w in (found.ranked if found else ())
        ),
    )


@router.post("/v1/cluster")
def cluster_programs(body: JournalRequest) -> CandidatesClustered:
    """Group the programs of a journal, as if its clustering were to be answered now."""
    state = before_decision(body)
    if state.task.problem.kind not in ("stdin", "function"):
        raise BadInput(f"programs of a '{state.task.problem.kind}' problem are not compared")
    return cluster(state, "cluster")


def before_decision(body: JournalRequest) -> TaskState:
    """Return the state that Select is answered from.

    Raises:
        BadInput: if the entries are no journal, naming the first that could not have followed.
    """
    entries = []
    for entry in body.entries:
        failed = isinstance(entry.event, CommandFailed) and entry.event.command == "select"
        if failed or isinstance(entry.event, CLOSING):
            break
        entries.append(entry)
    state = TaskState()
    for entry in entries:
        try:
            state = fold(state, [entry])
        except InvalidHistory as error:
            raise BadInput(f"entries are no journal: at {entry.seq}, {error}") from error
        except KeyError as error:
            said = f"{entry.event.type} names {error}, which is not there"
            raise BadInput(f"entries are no journal: at {entry.seq}, {said}") from error
    if state.submitted is None:
        raise BadInput("entries are no journal: there is no TaskSubmitted")
    return _asked(state, body)


def _asked(state: TaskState, body: JournalRequest) -> TaskState:
    task = state.task
    if body.selector:
        policy = task.policy.model_copy(update={"selector": body.selector})
        state = replace(state, submitted=task.model_copy(update={"policy": policy}))
    if body.first is None:
        return state
    drawn = [c for c in state.candidates.values() if c.first_hand]
    kept = {c.id: c for c in drawn[: body.first]}
    return replace(state, candidates=kept)
