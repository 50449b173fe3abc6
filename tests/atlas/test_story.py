"""The story of a task: every event that matters is told, in words, and nothing in it steers a terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.api import view
from atlas.contracts import Example, Problem
from atlas.events import (
    AnyEvent,
    CommandFailed,
    CommandsIssued,
    CommandsRevoked,
    DeadlineReached,
    Entry,
    Pins,
    TaskCancelled,
    TaskFailed,
    TaskSubmitted,
)
from atlas.evidence import Evidence
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.pipeline import advance, decide
from atlas.policy import Policy, Tier
from atlas.state import TaskState
from atlas.story import Step, Story, epilogue, judged
from atlas.story_words import printable
from atlas.thinking import USUAL_TAGS
from tests.atlas.histories import answer, picking, submission, submissions
from tests.support.in_memory import solve
from tests.support.planning import plan_answer

SCORES = ("energy 1.000", "energy 0.000", "energy 2.500", "picked")
PROGRAMS = ["no code", "raise ValueError", "print(3)", "print(5)", "print(6)", "print(7)", "print(4)"]


def entries(events: list[AnyEvent]) -> list[Entry]:
    """One event every half second."""
    return [Entry(seq=n, time=100 + n / 2, event=event) for n, event in enumerate(events, 1)]


def told(events: list[AnyEvent]) -> list[Step]:
    story = Story()
    return [step for entry in entries(events) for step in story.tell(entry)]


async def repaired() -> list[AnyEvent]:
    """A task with plans that only its second repair solves; what it drew is PROGRAMS."""
    drawn = iter(PROGRAMS)

    def script(request: CompletionRequest) -> str:
        if request.json_schema:
            return plan_answer(request.json_schema, request.prompt, ("add up", "double"))
        if request.prompt.endswith("five short sentences.\n<assistant>"):
            return "It is wrong."
        program = next(drawn)
        return program if program == "no code" else f"```python\n{program}\n```"

    def run(code: str, text: str) -> Run:
        if code.startswith("raise"):
            error = 'Traceback:\n  File "x", line 1\nValueError: \x1b[31mred\x1b[0m\n'
            return Run(status=RunStatus.RUNTIME_ERROR, error=error)
        return Run(status=RunStatus.OK, output=code.strip()[6:-1] if text == "2" else "9")

    examples = (Example(input="2", output="4"), Example(input="7", output="9"))
    submitted = TaskSubmitted(
        problem=Problem(statement="Double the number.", examples=examples),
        policy=Policy(name="planning", k=5, plans=2, repairs=4, token_budget=8192),
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake"),
        deadline_s=600,
    )
    return (await solve(submitted, FakeModelServer(script), FakeExecutor(run)))[1]


def at_once(text: str) -> str:
    """The text as a machine without other work would have told it."""
    return re.sub(r"\b\d+\.\d s\b", "0.0 s", text)


async def test_a_whole_task_is_told_from_submission_to_decision() -> None:
    steps = told(await repaired())
    assert steps[0].seconds == 0
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
    texts = [at_once(step.text) for step in steps if not step.machinery]
    assert texts[0] == (
        "submitted: policy planning (at most 5 candidates, 2 plans, 4 repairs, 8,192 tokens, seed 0), "
        "model fake, deadline 600 s, 2 public examples"
    )
    assert texts[1:] == [
        "2 plans",
        "c0 drawn after plan 1: add up: 2 tokens, mean logprob -0.10; its answer holds no program",
        "c1 drawn after plan 2: double: 4 tokens, mean logprob -0.10",
        "c1 passes 0 of 2 public examples (0.0 s)",
        "c2 drawn: 3 tokens, mean logprob -0.10",
        "c2 passes 1 of 2 public examples (0.0 s)",
        "c3 drawn: 3 tokens, mean logprob -0.10",
        "c3 passes 1 of 2 public examples (0.0 s)",
        "c4 drawn: 3 tokens, mean logprob -0.10",
        "c4 passes 1 of 2 public examples (0.0 s)",
        "r0 mends c2 (logical consistency): 3 tokens, mean logprob -0.10",
        "r0 passes 1 of 2 public examples (0.0 s)",
        "r1 mends c2 (information completeness): 3 tokens, mean logprob -0.10",
        "r1 passes 2 of 2 public examples (0.0 s)",
        "decided: r1 passed 2 of 2 public examples",
    ]
    assert steps[-1].tone == "good"
    assert steps[-1].details[0].startswith("confidence 0.")
    assert steps[-1].details[1:] == (
        "1 of 7 candidates passed every public example",
        "mean logprob -0.10",
        "isolation: fake",
    )


async def test_a_tier_of_thinking_is_told_with_the_difficulty_it_is_for() -> None:
    def script(request: CompletionRequest) -> str:
        return "```python\nprint(5)\n```" if "</think>" in request.prompt else "I see.</think>"

    submitted = TaskSubmitted(
        problem=Problem(statement="Print 4.", examples=(Example(input="", output="4"),)),
        policy=Policy(name="p", k=2, thinking_tokens=2048, thinking_tiers=(Tier(above=0.5, tokens=4096),)),
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake", thinks=True),
        deadline_s=600,
    )
    wrong = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output="5"))
    _, events = await solve(submitted, FakeModelServer(script, tags=USUAL_TAGS), wrong)
    texts = [step.text for step in told(events) if not step.machinery]
    assert "thinking of 2,048 tokens, then by difficulty" in texts[0]
    drawn = [text for text in texts if " drawn: " in text]
    assert "of thinking of at most 2,048)" in drawn[0]
    assert re.search(r"of thinking of at most 4,096 for difficulty 0\.\d\d\)", drawn[1])


async def test_thinking_is_told_with_what_it_took() -> None:
    def script(request: CompletionRequest) -> str:
        if "</think>" in request.prompt:
            return "```python\nprint(4)\n```"
        return "so " * 9999 if request.prompt.endswith("Wait") else "I see.</think>"

    submitted = TaskSubmitted(
        problem=Problem(statement="Print 4."),
        policy=Policy(name="p", thinking_tokens=1024, waits=1),
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake", thinks=True),
        deadline_s=600,
    )
    _, events = await solve(submitted, FakeModelServer(script, tags=USUAL_TAGS), FakeExecutor({}))
    texts = [step.text for step in told(events) if not step.machinery]
    assert texts[0].startswith("submitted: policy p (at most 1 candidate, thinking of 1,024 tokens, seed 0)")
    assert "runs without" not in texts[0]
    assert texts[1] == "c0 drawn: 1,027 tokens (1,024 of thinking, 1 wait, cut), mean logprob -0.10"


async def test_verdicts_give_the_last_line_of_the_error_or_what_came_out() -> None:
    details = {step.text.split()[0]: step.details for step in told(await repaired()) if "passes" in step.text}
    red = r"runtime error: ValueError: \x1b[31mred\x1b[0m"
    assert details["c1"] == (f"example 1: {red}", f"example 2: {red}")
    assert details["c2"] == ("example 1: wrong answer: 3", "example 2: accepted")


async def test_model_calls_are_told_with_their_cost_but_as_machinery() -> None:
    calls = [step for step in told(await repaired()) if step.text.startswith("call ")]
    assert len(calls) == 12, "constraints, two plans, five candidates, two turns for each of two repairs"
    assert all(step.machinery for step in calls)
    assert calls[3].text.startswith("call generate:0/code:0: ")
    assert at_once(calls[3].text).endswith(" tokens in, 2 out, 0.0 s")


async def test_what_goes_on_is_said_as_long_as_something_does() -> None:
    story, doing = Story(), []
    for entry in entries(await repaired()):
        story.tell(entry)
        if isinstance(entry.event, CommandsIssued):
            doing.append(story.doing())
    assert doing[:4] == [
        "making 2 plans",
        "drawing c0 after plan 1: add up",
        "drawing c1 after plan 2: double",
        "running c1 on 2 public examples",
    ]
    assert "repair 2 of c2 (information completeness)" in doing
    assert doing[-1] == "choosing"
    assert story.doing() == ""


def test_ends_without_a_program_and_what_went_wrong() -> None:
    policy = Policy(name="two", k=2)
    state = advance(TaskState(), [submission(policy)]).state
    failed = CommandFailed(command="generate:0", reason="poisoned", detail="delivered 6 times")
    step = advance(state, [failed])
    ends: list[AnyEvent] = [DeadlineReached(), TaskCancelled()]
    texts = [
        s.text for s in told([submission(policy), CommandsIssued(ids=("generate:0",)), *step.events, *ends])
    ]
    assert texts[1:] == [
        "generate:0 failed (poisoned): delivered 6 times",
        "the deadline is reached: what there is must do",
        "cancelled",
    ]
    end = TaskFailed(reason="no program\nwas generated", infrastructure=True)
    last = told([submission(policy), end])[-1]
    assert (last.text, last.tone) == ("failed: no program was generated", "bad")


@pytest.mark.parametrize("read", [True, False])
def test_where_examples_come_from_is_told(read: bool) -> None:
    usual = submission(Policy(name="p"))
    problem = usual.problem.model_copy(update={"examples_in_statement": read})
    (first,) = told([usual.model_copy(update={"problem": problem})])
    assert first.text.endswith(" read from the statement") == read
    assert "public example" in first.text


@given(st.data(), submissions())
def test_every_history_can_be_told(data: st.DataObject, submitted: TaskSubmitted) -> None:
    pick = picking(data)
    step = advance(TaskState(), [submitted])
    events = list(step.events)
    while not step.state.closed:
        commands = sorted(decide(step.state), key=lambda command: command.id)
        command = data.draw(st.sampled_from(commands))
        step = advance(step.state, answer(step.state, command, pick))
        events += step.events
    steps = told(events)
    quiet = [event for event in events if isinstance(event, CommandsIssued)]
    assert len(steps) == len(events) - len(quiet)
    for line in [line for step in steps for line in (step.text, *step.details)]:
        assert line.isprintable()
    scores = {step.text for step in steps if " scored: " in step.text}
    assert scores <= {f"c{n} scored: {e}" for n in range(6) for e in SCORES} | {
        f"{kind}{n} scored: {e}" for kind in "rfb" for n in range(2) for e in SCORES
    }
    revoked = [event.ids for event in events if isinstance(event, CommandsRevoked)]
    assert [s.text for s in steps if s.text.startswith("no longer")] == [
        f"no longer wanted: {', '.join(ids)}" for ids in revoked
    ]


@pytest.mark.parametrize(
    ("basis", "said"),
    [
        ("best_partial", "c1 passed 1 of 3 public examples"),
        ("not_executed", "c1, not run on the 3 public examples"),
        ("no_public_examples", "c1; there are no public examples"),
    ],
)
def test_evidence_says_what_it_rests_on(basis: str, said: str) -> None:
    total = 0 if basis == "no_public_examples" else 3
    passed = int(basis == "best_partial")
    evidence = Evidence.model_validate(
        {"basis": basis, "public_passed": passed, "public_total": total, "candidates": 2, "survivors": 0}
    )
    assert judged("c1", evidence) == said


async def test_the_epilogue_sums_up() -> None:
    journal = entries(await repaired())
    ended = view("abc", journal)
    spent = ended.usage.tokens_in + ended.usage.tokens_out
    sure = ended.evidence.confidence if ended.evidence else None
    assert sure is not None
    assert epilogue(ended) == (
        f"r1 passed 2 of 2 public examples; confidence {sure:.2f}; 7 candidates, {spent:,} tokens, "
        f"{ended.seconds:.1f} s; task abc"
    )
    failed = view("abc", [*entries([submission(Policy(name="p"))])]).model_copy(
        update={"status": "failed", "error": "no program"}
    )
    assert epilogue(failed) == "failed: no program; 0 tokens, 0.0 s; task abc"


def test_nothing_printed_steers_a_terminal() -> None:
    assert printable("a\x1b[2J\x07b\r\n c\u202ed") == r"a\x1b[2J\x07b c\u202ed"
    assert len(printable("x" * 1000)) == 200
