"""Reading the statement: one telling input, votes with either output first, and no favour for a place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lens_states import CRASH, Drawn, state

from atlas.commands import ReadStatement
from atlas.errors import BadOutput, BudgetSpent
from atlas.events import StatementRead
from atlas.lens.table import Shelf
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.state import TaskState
from atlas.worker import Context
from services.lens.energy import Scorer
from services.lens.read_statement import read_statement, telling
from services.lens.worker import handler

BETWEEN = ("c0", "c1")
COMMAND = ReadStatement(id="read", between=BETWEEN)
TEXTS = {(0, 0): "1 long input", (0, 1): "10", (0, 2): "7 x", (0, 3): "0"}
PARTED = (Drawn("a", (["1", "same", "one", CRASH],)), Drawn("b", (["2", "same", "other", "5"],)))


def parted(readings: int = 4, token_budget: int = 0) -> TaskState:
    return state(*PARTED, texts=TEXTS, readings=readings, token_budget=token_budget)


def shown_first(request: CompletionRequest) -> str:
    return request.prompt.split("Result A:\n")[1].split("\n")[0]


async def votes(script: Callable[[CompletionRequest], str], **policy: int) -> tuple[int, int]:
    handle = handler(FakeModelServer(script), Scorer(Shelf(())))
    [event] = await handle(Context("t", COMMAND, parted(**policy)))
    assert isinstance(event, StatementRead)
    assert (event.command, event.between, event.input) == ("read", BETWEEN, "7 x")
    return event.votes


def test_the_shortest_input_on_which_both_end_well_and_differ() -> None:
    assert telling(parted(), BETWEEN) == ("7 x", "one", "other")
    assert telling(parted(), ("c1", "c0")) == ("7 x", "other", "one")


def test_equal_programs_share_a_probe() -> None:
    made = state(*PARTED, Drawn("b"), texts=TEXTS)
    assert telling(made, ("c0", "c2")) == telling(made, BETWEEN)


def test_later_rounds_count() -> None:
    made = state(Drawn("a", (["1"], ["3"])), Drawn("b", (["1"], ["4"])))
    assert telling(made, BETWEEN) == ("1 0", "3", "4")


@pytest.mark.parametrize(
    "drawn",
    [
        (Drawn("a", (["1"],)), Drawn("b", (["1"],))),
        (Drawn("a", (["1"],)), Drawn("b", ([CRASH],))),
        (Drawn("a", (["0.5"],)), Drawn("b", (["0.50"],))),
        (Drawn("a", (["1"],)), Drawn("b")),
        (Drawn("a"), Drawn("b")),
        (Drawn("a", (["x" * 600 + "1"],)), Drawn("b", (["x" * 600 + "2"],))),
    ],
)
async def test_without_a_difference_to_read_about_there_is_nothing_to_ask(drawn: tuple[Drawn, Drawn]) -> None:
    server = FakeModelServer(lambda _: '"A"')
    with pytest.raises(BadOutput, match="no input"):
        await read_statement(Context("t", COMMAND, state(*drawn, readings=2)), server, COMMAND)
    assert server.requests == []


async def test_votes_follow_the_output_wherever_it_is_shown() -> None:
    assert await votes(lambda r: '"A"' if shown_first(r) == "one" else '"B"') == (4, 0)
    assert await votes(lambda r: "A" if shown_first(r) == "other" else "B") == (0, 4)


async def test_a_favourite_place_favours_neither() -> None:
    assert await votes(lambda _: '"A"') == (2, 2)
    assert await votes(lambda _: '"B"', readings=6) == (3, 3)
    assert await votes(lambda _: '"A"', readings=1) == (1, 0)


async def test_votes_are_calls_of_their_own_that_are_recorded() -> None:
    server, made = FakeModelServer(lambda _: '"A"'), Context("t", COMMAND, parted())
    first = await read_statement(made, server, COMMAND)
    assert await read_statement(made, server, COMMAND) == first
    assert [shown_first(r) for r in server.requests] == ["one", "one", "other", "other"]
    assert len({r.sampling.seed for r in server.requests}) == 4
    assert list(made.state.calls) == [f"read/vote{i}" for i in range(4)]


async def test_answers_that_name_neither_are_no_votes() -> None:
    assert await votes(lambda r: '"C"' if shown_first(r) == "one" else '"A"') == (0, 2)
    with pytest.raises(BadOutput, match="no vote"):
        await votes(lambda _: "neither")


async def test_a_spent_budget_ends_the_votes() -> None:
    assert await votes(lambda r: '"A"' if shown_first(r) == "one" else '"B"', token_budget=3) == (3, 0)
    with pytest.raises(BadOutput):
        await votes(lambda _: "neither", token_budget=1)


def test_an_empty_budget_is_a_kind_of_bad_output() -> None:
    assert issubclass(BudgetSpent, BadOutput)
