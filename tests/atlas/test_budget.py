"""What a task may still generate, and how long refinements may still take: pure functions of its state."""

from __future__ import annotations

import pytest
from histories import USAGE, model_call, submission
from hypothesis import given
from hypothesis import strategies as st

from atlas.budget import refinement_seconds_left, tokens_left
from atlas.events import CommandFailed, ModelCallFinished
from atlas.policy import Policy
from atlas.state import TaskState

POLICY = Policy(name="p", refinements=8, refinement_seconds=60, token_budget=500)
# Each command's recorded calls and what a call took that failed it: tokens and seconds.
took = st.tuples(st.integers(0, 100), st.floats(0, 30))


def recorded(command: str, tokens: int, seconds: float) -> ModelCallFinished:
    call = model_call(command)
    choice = call.choices[0].model_copy(update={"usage": USAGE.model_copy(update={"tokens_out": tokens})})
    return call.model_copy(update={"choices": (choice,), "server_s": seconds})


def after(calls: list[ModelCallFinished], failures: list[CommandFailed]) -> TaskState:
    return TaskState(
        submitted=submission(POLICY),
        calls={call.call: call for call in calls},
        failures={str(failed.command): failed for failed in failures},
        usage=sum((call.choices[0].usage for call in calls), USAGE.model_copy(update={"tokens_out": 0})),
    )


@given(st.lists(took, max_size=4), st.lists(took, max_size=4))
def test_calls_that_failed_count_as_those_that_are_recorded(
    done: list[tuple[int, float]], lost: list[tuple[int, float]]
) -> None:
    state = after(
        [recorded(f"refine:{n}", *of) for n, of in enumerate(done)],
        [
            CommandFailed(command=f"refine:{n}", reason="bad_output", lost_tokens=tokens, lost_s=seconds)
            for n, (tokens, seconds) in enumerate(lost)
        ],
    )
    tokens, seconds = (sum(column) for column in zip(*(done + lost), strict=True)) if done + lost else (0, 0)
    assert tokens_left(state) == max(0, 500 - tokens)
    assert refinement_seconds_left(state) == pytest.approx(max(0, 60 - seconds))


def test_other_commands_take_tokens_and_none_of_the_seconds_of_refinements() -> None:
    failed = CommandFailed(command="repair:0", reason="refused", lost_tokens=100, lost_s=30)
    state = after([recorded("generate:0", 50, 20)], [failed])
    assert (tokens_left(state), refinement_seconds_left(state)) == (350, 60)


def test_a_failure_of_an_older_release_lost_nothing() -> None:
    failed = CommandFailed.model_validate({"command": "refine:0", "reason": "bad_output"})
    state = after([], [failed])
    assert (tokens_left(state), refinement_seconds_left(state)) == (500, 60)
