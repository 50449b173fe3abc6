"""Whole tasks of multiple choice and of steps, in memory: sampled, voted or chosen, handed back, told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.api import view
from atlas.cli_solve import exit_code
from atlas.contracts import Problem, Step, Usage
from atlas.events import AnyEvent, Choice, Entry, Pins, TaskDecided, TaskFailed, TaskSubmitted
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.policy import POLICIES, Part, Policy
from atlas.state import TaskState
from atlas.story import Story, epilogue
from services.gateway.chat import content
from tests.support.in_memory import solve
from tests.support.planning import plan_answer

QUESTION = Problem(statement="Which?", kind="choice", choices=("one", "two", "three"))
STEP = Step(description="Halve it.", header="def half(x):")
STEPS = Problem(statement="Divide.", kind="steps", steps=(STEP,))
PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="fake", lens_weights="w")
POLICY = Policy(name="p", k=5, plans=2, repairs=2, extras=(Part.LENS,))


class Voters(FakeModelServer):
    """Gives its answers one after the other, each with a mean log-probability of its own."""

    def __init__(self, answers: Sequence[tuple[str, float]]) -> None:
        super().__init__(lambda _: "-")
        self._answers = list(answers)

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        drawn = await super().complete(request, on_tokens)
        choices = [self._choice(choice) for choice in drawn.choices]
        return drawn.model_copy(update={"choices": tuple(choices)})

    def _choice(self, choice: Choice) -> Choice:
        text, mean = self._answers.pop(0)
        logprob = choice.logprob and choice.logprob.model_copy(update={"mean": mean, "minimum": mean})
        return choice.model_copy(
            update={"text": text, "logprob": logprob, "usage": Usage(tokens_in=3, tokens_out=2)}
        )


def no_executor() -> FakeExecutor:
    def run(code: str, text: str) -> None:
        raise AssertionError("nothing of such a task is run")

    return FakeExecutor(run)  # type: ignore[arg-type]


async def solved(
    problem: Problem, server: FakeModelServer, policy: Policy = POLICY
) -> tuple[TaskState, list[AnyEvent]]:
    submitted = TaskSubmitted(problem=problem, policy=policy, pins=PINS, deadline_s=600)
    return await solve(submitted, server, no_executor())


def entries(events: Sequence[AnyEvent]) -> list[Entry]:
    return [Entry(seq=n, time=float(n), event=event) for n, event in enumerate(events, 1)]


def decision(state: TaskState) -> tuple[str | None, TaskDecided]:
    assert isinstance(state.closed, TaskDecided)
    return state.candidates[state.closed.candidate].code, state.closed


async def test_most_votes_decide_and_nothing_else_is_asked_for() -> None:
    said = [
        ("Answer: A", -0.1),
        ("Answer: B", -0.9),
        ("who knows", -0.1),
        ("Answer: B", -0.8),
        ("**A**", -2.0),
    ]
    said[4] = ("So\nAnswer: B", -0.7)
    state, events = await solved(QUESTION, Voters(said))
    letter, decided = decision(state)
    assert (letter, decided.candidate) == ("B", "c4"), "of the three that chose it the surest"
    assert decided.evidence.basis == "majority_vote"
    assert decided.evidence.votes == {"B": 3, "A": 1}
    assert decided.evidence.candidates == 5
    assert {event.type for event in events} == {
        *("TaskSubmitted", "CommandsIssued", "ModelCallFinished", "CandidateGenerated", "TaskDecided")
    }


async def test_a_tie_goes_to_the_letter_the_model_was_surer_of() -> None:
    said = [("Answer: A", -0.5), ("Answer: C", -0.2), ("Answer: A", -0.5), ("Answer: C", -0.3), ("?", -0.1)]
    state, _ = await solved(QUESTION, Voters(said))
    letter, decided = decision(state)
    assert (letter, decided.candidate) == ("C", "c1")
    assert list(decided.evidence.votes) == ["C", "A"]


@given(st.lists(st.tuples(st.sampled_from("ABC?"), st.floats(-5, 0)), min_size=5, max_size=5))
async def test_no_letter_has_more_votes_than_the_one_handed_back(said: list[tuple[str, float]]) -> None:
    state, _ = await solved(QUESTION, Voters([(f"Answer: {letter}", mean) for letter, mean in said]))
    letters = [letter for letter, _ in said if letter != "?"]
    if not letters:
        assert isinstance(state.closed, TaskFailed)
        return
    chosen, _ = decision(state)
    assert chosen is not None
    assert letters.count(chosen) == max(map(letters.count, letters))


async def test_no_letter_in_any_answer_is_the_models_failure() -> None:
    state, _ = await solved(QUESTION, Voters([("No idea.", -0.1)] * 5))
    assert isinstance(state.closed, TaskFailed)
    assert not state.closed.infrastructure
    assert state.closed.reason.endswith("no answer of the model named one of the choices")


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
async def test_every_policy_of_ours_answers_a_question(policy: Policy) -> None:
    state, _ = await solved(QUESTION, FakeModelServer(lambda _: "Answer: B"), policy)
    letter, decided = decision(state)
    assert letter == "B"
    assert sum(decided.evidence.votes.values()) <= policy.k
    assert state.plans == ()


async def test_a_question_is_told_in_its_own_words() -> None:
    said = [("Answer: B", -0.1)] * 4 + [("no idea", -0.1)]
    _, events = await solved(QUESTION, Voters(said))
    story = Story()
    told = "\n".join(step.text for entry in entries(events) for step in story.tell(entry))
    assert "a question with 3 choices" in told
    assert "it chooses B" in told
    assert "its answer names no choice" in told
    assert "program" not in told
    seen = view("t", entries(events))
    assert seen.program == "B"
    assert content(seen) == "Answer: B"
    assert exit_code(seen) == 0
    assert "by votes: 4 for B" in epilogue(seen)


async def test_steps_are_planned_drawn_and_handed_back_unexecuted() -> None:
    half = "```python\ndef half(x):\n    return x / 2\n```"
    server = FakeModelServer(
        lambda request: (
            plan_answer(request.json_schema, request.prompt, ("one", "two")) if request.json_schema else half
        )
    )
    state, events = await solved(STEPS, server, POLICIES["B"])
    program, decided = decision(state)
    assert program == "def half(x):\n    return x / 2\n"
    assert decided.evidence.basis == "no_public_examples"
    assert not state.executions
    story = Story()
    told = [step.text for entry in entries(events) for step in story.tell(entry)]
    assert "a program of 1 step" in told[0]
