"""Comparing programs, told: inputs, runs, groups, readings, and a task that ends in silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

from atlas.api import doubt, view
from atlas.cli_solve import exit_code
from atlas.commands import ClusterCandidates
from atlas.events import (
    AnyEvent,
    CandidateProbed,
    CandidatesClustered,
    CommandsIssued,
    Entry,
    InputsMade,
    InputsWritten,
    StatementRead,
    TaskAbstained,
)
from atlas.evidence import Agreement, CandidateCluster, Evidence
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun, WrittenInputs
from atlas.pipeline import advance, decide
from atlas.policy import Policy
from atlas.state import TaskState
from atlas.story import Story, epilogue
from atlas.story_comparing import (
    clustered,
    compared_on,
    comparing_now,
    inputs_made,
    inputs_written,
    probed,
    statement_read,
)
from tests.atlas.histories import answer, submission

T = TypeVar("T")
POLICY = Policy(
    name="compares",
    k=3,
    stop_after_passing=0,
    inputs=4,
    input_tokens=1536,
    distinguish=1,
    readings=3,
    abstain_below=0.5,
)


def evidence(**more: object) -> Evidence:
    about = {"basis": "best_partial", "public_passed": 1, "public_total": 2, "candidates": 3, "survivors": 0}
    return Evidence.model_validate(about | more)


def test_what_the_model_wrote_is_counted() -> None:
    written = WrittenInputs(texts=("1", "2"), generator="def generate(seed): ...")
    assert inputs_written(0, written)[0] == "inputs: the model writes 2 inputs, a generator program"
    assert inputs_written(1, WrittenInputs(texts=("1",)))[0] == "inputs, round 2: the model writes 1 input"


def test_inputs_are_shown_cut_and_escaped() -> None:
    inputs = (
        GeneratedInput(text="3\n1 2 3", origin="model"),
        GeneratedInput(text="\x1b[2J" + "9" * 500, origin="mutation"),
    )
    text, tone, details = inputs_made(
        InputsMade(command="inputs:0", round=0, inputs=inputs, validation="checked", refused=4)
    )
    assert text == "inputs: 2 inputs, validated by a program that accepts every public example; 4 refused"
    first, second = details
    assert (tone, first) == ("plain", "1. 3 1 2 3 (from the model)")
    assert "\x1b" not in second
    assert second.startswith("2. \\x1b[2J999")
    assert len(second) < 120


def test_outputs_are_shown_escaped_and_trouble_is_named() -> None:
    runs = (
        ProbedRun(status=RunStatus.OK, output="\x1b]0;owned\x07"),
        ProbedRun(status=RunStatus.OK, output="\n"),
        ProbedRun(status=RunStatus.TIME_LIMIT),
    )
    event = CandidateProbed(
        command="probe:0:c1", round=0, candidate="c1", runs=runs, isolation="fake", seconds=0.25
    )
    text, _, details = probed(event)
    assert text == "c1 gives an output on 2 of 3 inputs (1 time limit) (0.2 s)"
    assert tuple(details) == ("1. \\x1b]0;owned\\x07", "2. no output", "3. time limit")


def test_groups_and_what_is_open_between_them() -> None:
    clusters = (
        CandidateCluster(candidates=("c0", "c2"), probability=0.71),
        CandidateCluster(candidates=("c1",), probability=0.2),
    )
    event = CandidatesClustered(
        command="cluster", clusters=clusters, inputs=14, agreeing=2, contested=("c0", "c1")
    )
    text, _, details = clustered(event)
    assert text == (
        "compared on 14 inputs: 2 groups of programs that agree; 2 independently planned ones agree; "
        "c0 against c1 is open"
    )
    assert tuple(details) == ("c0, c2: probability 0.71", "c1: probability 0.20")
    nothing = CandidatesClustered(command="cluster", clusters=clusters, inputs=0, agreeing=0)
    assert clustered(nothing)[0].startswith("compared without a usable input: ")


def test_a_reading_says_its_votes_and_its_input() -> None:
    event = StatementRead(command="read", between=("c0", "c1"), input="4\x1b", votes=(1, 3))
    text, _, details = statement_read(event)
    assert text == "the model reads the statement: 1 vote for c0, 3 for c1"
    assert tuple(details) == ("input: 4\\x1b",)


@pytest.mark.parametrize(
    ("agreement", "said"),
    [
        (None, []),
        (Agreement(comparison="not_asked"), []),
        (
            Agreement(comparison="compared", inputs=14, agreeing=5, clusters=(5, 2)),
            ["5 of 7 programs agree on 14 inputs"],
        ),
        (
            Agreement(comparison="compared", inputs=1, agreeing=1, clusters=(1,)),
            ["1 of 1 program agrees on 1 input"],
        ),
        (Agreement(comparison="one_program"), ["no other program to compare it with"]),
        (
            Agreement(comparison="no_usable_inputs"),
            ["programs could not be compared: no input is usable"],
        ),
    ],
)
def test_agreement_in_words(agreement: Agreement | None, said: list[str]) -> None:
    assert compared_on(evidence(agreement=agreement)) == said


@pytest.mark.parametrize(
    ("confidence", "least", "said"),
    [
        (0.31, 0.5, "confidence 0.31 is below 0.50"),
        (0.4999, 0.5, "confidence 0.4999 is below 0.5000"),
        (0.498, 0.5, "confidence 0.498 is below 0.500"),
    ],
)
def test_a_doubt_has_digits_enough_to_be_true(confidence: float, least: float, said: str) -> None:
    assert doubt(confidence, least) == said


def contested(outcomes: Sequence[T]) -> T:
    """The plainest outcome, but with programs of two kinds, of which neither is clearly better."""
    first = outcomes[0]
    return outcomes[-1] if first is None else first


class Drawing:
    """Picks as `contested` does, and every other program of the second kind."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, outcomes: Sequence[T]) -> T:
        if outcomes[-1] is None and outcomes[0] is not None:
            self._drawn += 1
            return outcomes[self._drawn % 2]
        return contested(outcomes)


def history() -> list[AnyEvent]:
    """A task that compares programs, up to the moment something is to be chosen."""
    step, pick = advance(TaskState(), [submission(POLICY)]), Drawing()
    events = list(step.events)
    while True:
        work = sorted(step.state.open)
        commands = {command.id: command for command in decide(step.state)}
        if work == ["select"]:
            return events
        step = advance(step.state, answer(step.state, commands[work[0]], pick))
        events += step.events


def test_every_event_of_a_comparison_has_a_step_and_every_command_a_word() -> None:
    story = Story()
    doing = set()
    heard: dict[type, int] = {}
    for n, event in enumerate(history(), 1):
        steps = story.tell(Entry(seq=n, time=float(n), event=event))
        heard[type(event)] = len(steps)
        doing.add(story.doing())
    for kind in (InputsWritten, InputsMade, CandidateProbed, CandidatesClustered, StatementRead):
        assert heard[kind] == 1
    assert heard[CommandsIssued] == 0
    assert {"writing inputs to compare programs on", "making inputs"} <= doing
    assert any("running c0 on 2 inputs" in each for each in doing)
    assert {"writing inputs on which c0 and c2 may differ", "reading the statement for c0 or c2"} <= doing
    assert comparing_now(story.state, ClusterCandidates(id="c")) == "comparing what programs gave"


def test_a_task_that_abstained_is_told_shown_and_summed_up() -> None:
    events = history()
    sure = evidence(confidence=0.31, agreement=Agreement(comparison="compared", inputs=4, clusters=(1, 2)))
    events.append(TaskAbstained(command="select", candidate="c1", evidence=sure))
    entries = [Entry(seq=n, time=float(n), event=event) for n, event in enumerate(events, 1)]
    story = Story()
    *_, last = (step for entry in entries for step in story.tell(entry))
    assert last.text == "abstained: confidence 0.31 is below 0.50; c1 passed 1 of 2 public examples"
    assert last.details[:2] == ("confidence 0.31", "1 of 3 programs agrees on 4 inputs")
    seen = view("t", entries)
    assert (seen.status, seen.program, seen.candidate, seen.evidence) == ("abstained", None, None, sure)
    assert seen.error == (
        "abstained: confidence 0.31 is below 0.50; ask again with a lower abstain_below, or a larger policy"
    )
    assert not seen.infrastructure
    assert exit_code(seen) == 5
    assert epilogue(seen).startswith(f"{seen.error}; 1 of 3 programs agrees on 4 inputs; 3 candidates, ")
    probing = sum(each.event.seconds for each in entries if isinstance(each.event, CandidateProbed))
    running = sum(each.seconds for each in story.state.executions.values())
    assert seen.executor_s == pytest.approx(probing + running)
