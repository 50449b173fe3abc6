"""Budget forcing's state machine by itself: when a model that thinks is cut, made to wait, or let go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Usage
from atlas.errors import BudgetSpent
from atlas.events import Choice
from atlas.thinking import USUAL_TAGS
from services.planner.budget_forcing import STUB, WAIT, Rule, Thought, follow
from tests.support.thinking_llama import policy

CLOSE = USUAL_TAGS.closing


def drawn(text: str, tokens: int, *, finish: str = "stop", stopped_by: str | None = None) -> Choice:
    values = {"text": text, "usage": Usage(tokens_out=tokens), "finish": finish, "stopped_by": stopped_by}
    return Choice.model_validate(values)


RULE = Rule(budget=1000, floor=250, waits=2)


@pytest.mark.parametrize(
    ("before", "came", "after"),
    [
        (
            Thought(),
            drawn("I see.\n", 300, stopped_by=CLOSE),
            Thought(f"I see.\n{CLOSE}\n\n", 300, end="closed"),
        ),
        (
            Thought(),
            drawn("I see and", 1000, finish="length"),
            Thought(f"I see and{STUB}{CLOSE}\n\n", 1000, end="cut"),
        ),
        (Thought(), drawn("I see.\n", 249, stopped_by=CLOSE), Thought(f"I see.{WAIT}", 249, waits=1)),
        (Thought(), drawn("I see.", 249), Thought(f"I see.{WAIT}", 249, waits=1)),
        (
            Thought("A.\n\nWait", 249, waits=1),
            drawn(", no.\n", 1, stopped_by=CLOSE),
            Thought(f"A.\n\nWait, no.\n{CLOSE}\n\n", 250, waits=1, end="closed"),
        ),
        (
            Thought("A.\n\nWait", 10, waits=2),
            drawn(", no.\n", 1, stopped_by=CLOSE),
            Thought(f"A.\n\nWait, no.\n{CLOSE}\n\n", 11, waits=2, end="closed"),
        ),
        (Thought(), drawn("It is 4.", 400), Thought(f"It is 4.\n{CLOSE}\n\n", 400, end="closed")),
    ],
    ids=["closed", "cut", "too soon", "turn ended too soon", "at the floor", "no waits left", "turn ended"],
)
def test_one_completion_more(before: Thought, came: Choice, after: Thought) -> None:
    assert follow(before, came, RULE, CLOSE) == after


@given(
    steps=st.lists(st.tuples(st.integers(0, 1200), st.sampled_from([CLOSE, None])), min_size=5, max_size=5),
    budget=st.integers(1, 1000),
    waits=st.integers(0, 3),
)
def test_thinking_ends_in_time_and_closed(
    steps: list[tuple[int, str | None]], budget: int, waits: int
) -> None:
    """Whatever comes, as long as no completion is longer than it was asked to be."""
    rule = Rule(budget, min(256, budget), waits)
    thought, calls = Thought(), 0
    while thought.end is None:
        asked = rule.budget - thought.tokens
        assert asked >= 1
        tokens, stop = steps[calls]
        cut = tokens > asked
        came = drawn("t" * min(tokens, asked), min(tokens, asked), finish="length" if cut else "stop")
        came = came.model_copy(update={"stopped_by": None if cut else stop})
        thought, calls = follow(thought, came, rule, CLOSE), calls + 1
    assert calls == thought.waits + 1 <= waits + 1
    assert thought.tokens <= budget
    assert thought.text.count(CLOSE) == 1
    assert thought.text.endswith(f"{CLOSE}\n\n")
    assert (STUB in thought.text) == (thought.end == "cut")


@pytest.mark.parametrize(
    ("left", "budget", "floor"),
    [
        (None, 1024, 256),
        (5000, 1024, 256),
        (1500, 750, 256),
        (2100, 1024, 256),
        (2000, 1000, 256),
        (100, 50, 50),
        (3, 1, 1),
        (2, 1, 1),
    ],
)
def test_what_is_left_pays_the_answer_first(left: int | None, budget: int, floor: int) -> None:
    assert Rule.of(policy(waits=3), left) == Rule(budget, floor, 3)


@pytest.mark.parametrize("left", [0, 1])
def test_nothing_left_to_think_with(left: int) -> None:
    with pytest.raises(BudgetSpent):
        Rule.of(policy(), left)
