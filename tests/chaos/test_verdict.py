"""The judge of a chaos run finds what is planted, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas.contracts import Candidate, Example, Problem, SamplingParams, Usage
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    Choice,
    Entry,
    ModelCallFinished,
    Pins,
    TaskDecided,
    TaskSubmitted,
)
from atlas.evidence import Evidence
from atlas.pipeline import advance
from atlas.policy import A
from atlas.state import TaskState
from tests.chaos.__main__ import Figures
from tests.chaos.request_log import Request, Writer, content_key, read
from tests.chaos.schedule import TARGETS, Killed, schedule
from tests.chaos.verdict import Ended, Tasks, different, duplicated, lost, repeated_calls

SAMPLING = SamplingParams(temperature=0, max_tokens=64, seed=7)
KEY = content_key("p", 7, 1)
RECORDED = 105.0  # when the call below is in the journal


def journal() -> list[Entry]:
    """A whole, valid journal of policy A: one call, one candidate, one decision."""
    problem = Problem(statement="s", examples=(Example(input="1", output="1"),))
    pins = Pins(pipeline="2", prompts_sha256="0" * 64, model="m")
    choice = Choice(text="print(1)", usage=Usage(tokens_in=1, tokens_out=1), finish="stop")
    call = ModelCallFinished(
        command="generate:0",
        call="generate:0/code:0",
        prompt="p",
        sampling=SAMPLING,
        choices=(choice,),
        server_s=0.1,
    )
    drawn = Candidate(id="c0", origin="sample", code="print(1)", sampling=SAMPLING, usage=choice.usage)
    evidence = Evidence(basis="not_executed", public_passed=0, public_total=1, candidates=1, survivors=0)
    answers: list[list[AnyEvent]] = [
        [TaskSubmitted(problem=problem, policy=A, pins=pins, deadline_s=60)],
        [call],
        [CandidateGenerated(command="generate:0", candidate=drawn)],
        [TaskDecided(command="select", candidate="c0", evidence=evidence)],
    ]
    state, events = TaskState(), list[AnyEvent]()
    for answer in answers:
        step = advance(state, answer)
        state, events = step.state, [*events, *step.events]
    return [
        Entry(seq=n, time=RECORDED if isinstance(event, ModelCallFinished) else 100.0 + n, event=event)
        for n, event in enumerate(events, start=1)
    ]


def ended(entries: list[Entry], status: str = "decided", program: str | None = "print(1)") -> Tasks:
    return {"t": Ended(status, program, entries)}


def test_a_clean_run_is_clean() -> None:
    tasks = ended(journal())
    asked = [Request(KEY, begin=101.0, end=104.9)]
    assert (different(tasks, tasks), lost(tasks), duplicated(tasks)) == (0, 0, 0)
    assert repeated_calls(tasks, asked, kills=[]) == 0


def test_a_task_that_did_not_end_or_ended_otherwise_is_counted() -> None:
    calm = ended(journal())
    running = ended(journal()[:3], status="running", program=None)
    assert (lost(running), different(calm, running)) == (1, 1)
    assert different(calm, ended(journal(), program="print(2)")) == 1


@pytest.mark.parametrize("twice", [ModelCallFinished, CandidateGenerated, TaskDecided])
def test_what_is_recorded_twice_is_counted(twice: type[AnyEvent]) -> None:
    entries = journal()
    (again,) = [entry.event for entry in entries if isinstance(entry.event, twice)]
    last = entries[-1]
    assert duplicated(ended([*entries, Entry(seq=last.seq + 1, time=last.time, event=again)])) >= 1


def test_a_journal_that_could_not_have_happened_is_counted() -> None:
    entries = journal()
    assert duplicated(ended([*entries[:2], *entries[3:]])) >= 1


def test_a_call_that_was_recorded_may_not_be_asked_again() -> None:
    tasks = ended(journal())
    asked = [Request(KEY, 101.0, 104.9), Request(KEY, RECORDED + 1, None)]
    assert repeated_calls(tasks, asked, kills=[]) == 1
    assert repeated_calls(tasks, asked, kills=[Killed("planner", RECORDED + 0.5)]) == 1, (
        "whatever was killed meanwhile"
    )


def test_a_call_in_flight_may_be_asked_again_only_if_one_of_its_parts_was_killed() -> None:
    tasks = ended(journal())
    asked = [Request(KEY, 101.0, None), Request(KEY, 103.0, 104.9)]
    for target in ("planner", "repair", "llama", "stack"):
        assert repeated_calls(tasks, asked, kills=[Killed(target, 102.0)]) == 0
    assert repeated_calls(tasks, asked, kills=[]) == 1
    assert repeated_calls(tasks, asked, kills=[Killed("planner", 50.0)]) == 1
    assert repeated_calls(tasks, asked, kills=[Killed("redis", 102.0)]) == 1, "a call outlives Redis"


def test_a_call_nobody_was_asked_for_makes_the_logs_incomparable() -> None:
    with pytest.raises(ValueError, match="never asked"):
        repeated_calls(ended(journal()), [], kills=[])


@pytest.mark.parametrize(
    "figure", ["different", "lost", "duplicated", "repeated_model_calls", "left_running"]
)
def test_any_one_figure_fails_the_run(figure: str) -> None:
    good = dict.fromkeys(("different", "lost", "duplicated", "repeated_model_calls", "left_running"), 0)
    assert Figures(tasks=1, kills=2, seed=0, **good).clean(kills=2)
    assert not Figures(tasks=1, kills=2, seed=0, **{**good, figure: 1}).clean(kills=2)
    assert not Figures(tasks=1, kills=1, seed=0, **good).clean(kills=2), "kills that never came prove nothing"


def test_the_schedule_is_the_seeds_and_gives_everyone_a_turn() -> None:
    kills = schedule(18, seed=3, requests=50)
    assert kills == schedule(18, seed=3, requests=50)
    assert kills != schedule(18, seed=4, requests=50)
    assert sorted(kill.target for kill in kills) == sorted(TARGETS * 2)
    assert [kill.after for kill in kills] == sorted(kill.after for kill in kills)
    assert all(1 <= kill.after <= 45 for kill in kills)


def test_the_request_log_tells_what_was_answered_and_what_was_not(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = Writer(path)
    whole = log.begin("a")
    log.begin("b")
    log.end(whole)
    a, b = read(path)
    assert (a.key, b.key, b.end) == ("a", "b", None)
    assert a.end is not None
    assert a.begin <= a.end
