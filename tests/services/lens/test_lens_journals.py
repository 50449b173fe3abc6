"""Whole tasks through the pipeline: they end, and what was decided follows from the journal read again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from journals import journal
from lens_states import CRASH, Drawn

from atlas.events import CandidatesClustered, Entry, StatementRead, TaskAbstained, TaskDecided
from services.lens.routes import JournalRequest, before_decision
from services.lens.selection import select

POLICIES = st.fixed_dictionaries(
    {
        "plans": st.just(0),
        "stop_after_passing": st.sampled_from([0, 2]),
        "stop_when_agreeing": st.sampled_from([0, 2, 3]),
        "distinguish": st.sampled_from([0, 1, 2]),
        "readings": st.sampled_from([0, 3]),
        "abstain_below": st.sampled_from([0.0, 0.5, 1.0]),
        "selector": st.sampled_from(["examples", "majority", "calibrated"]),
    }
)


@st.composite
def drawings(draw: st.DrawFn) -> list[Drawn]:
    outcomes = st.sampled_from(["1", "2", CRASH])
    rounds = st.tuples(*[st.lists(outcomes, min_size=2, max_size=2)] * 3)
    gives = {code: (draw(rounds), draw(st.sampled_from([1, 1, 0]))) for code in ("a", "bb", "ccc")}
    codes = draw(st.lists(st.sampled_from([*gives, None]), min_size=1, max_size=6))
    return [Drawn(code, *gives[code]) if code else Drawn(None) for code in codes]


@settings(deadline=None)
@given(drawings(), POLICIES)
def test_every_task_ends_as_its_journal_says(drawn: list[Drawn], policy: dict[str, object]) -> None:
    entries = journal(*drawn, **policy)
    end = entries[-1].event
    if not any(d.code for d in drawn):
        assert end.type == "TaskFailed"
        return
    assert isinstance(end, TaskDecided | TaskAbstained)
    again = [Entry.model_validate_json(e.model_dump_json()) for e in entries]
    assert select(before_decision(JournalRequest(entries=tuple(again))), "select") == end


def test_two_that_agree_end_the_task() -> None:
    same = ([CRASH, "1"],)
    entries = journal(*[Drawn(f"p{i}", same) for i in range(6)], stop_when_agreeing=2)
    assert sum(e.event.type == "CandidateGenerated" for e in entries) == 2
    found = next(e.event for e in entries if isinstance(e.event, CandidatesClustered))
    assert (found.agreeing, found.inputs) == (2, 1)


def test_what_no_input_tells_apart_is_read_in_the_statement() -> None:
    nothing = ([CRASH], [CRASH])
    entries = journal(Drawn("a", nothing), Drawn("b", nothing), distinguish=1, readings=3)
    types = [e.event.type for e in entries]
    assert types.count("InputsWritten") == 2
    read = next(e.event for e in entries if isinstance(e.event, StatementRead))
    assert read.between == ("c0", "c1")
