"""Dead letters as the journal buries them, on a real Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from histories import submission

from atlas.api import DeadLetterList
from atlas.commands import Generate, MakePlans
from atlas.dead_letters import DeadLetters
from atlas.errors import NotFound
from atlas.journal import Journal
from atlas.policy import A
from atlas.redis_client import connect


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    await journal.open_queues("planner")
    yield journal
    await journal.redis.aclose()


@pytest.fixture
def letters(journal: Journal) -> DeadLetters:
    return DeadLetters(journal.redis)


async def buried(journal: Journal, task: str) -> None:
    await journal.submit(task, submission(A.model_copy(update={"plans": 2}) if task == "plans" else A))
    delivery = await journal.claim("planner", "w", block_ms=None)
    assert delivery
    await journal.bury(delivery)


async def test_a_letter_tells_what_was_given_up_and_why(journal: Journal, letters: DeadLetters) -> None:
    await buried(journal, "a")
    (letter,) = (await letters.list(10)).letters
    assert (letter.task, letter.service) == ("a", "planner")
    assert letter.command == Generate(id="generate:0", first=0)
    assert letter.detail == "delivered 1 times without an answer"
    assert abs(letter.time - time.time()) < 60
    assert await letters.get(letter.id) == letter


async def test_letters_are_listed_in_pages_oldest_first_and_dropped(
    journal: Journal, letters: DeadLetters
) -> None:
    assert await letters.list(10) == DeadLetterList(letters=())
    for task in ("a", "b", "plans"):
        await buried(journal, task)
    first = await letters.list(2)
    assert [letter.task for letter in first.letters] == ["a", "b"]
    assert first.next_after == first.letters[1].id
    second = await letters.list(2, first.next_after)
    assert [letter.task for letter in second.letters] == ["plans"]
    assert isinstance(second.letters[0].command, MakePlans)
    assert second.next_after is None
    await letters.drop(first.letters[0].id)
    assert [letter.task for letter in (await letters.list(10)).letters] == ["b", "plans"]
    assert (await journal.state("a")).failures["generate:0"].reason == "poisoned"


@pytest.mark.parametrize(
    "letter", ["1-0", "1", "-", "+", "*", "", "9" * 30 + "-0", "9" * 19 + "-" + "9" * 19, "x\n"]
)
async def test_what_is_not_there_is_not_found(letters: DeadLetters, letter: str) -> None:
    with pytest.raises(NotFound, match="no dead letter"):
        await letters.get(letter)
    with pytest.raises(NotFound, match="no dead letter"):
        await letters.drop(letter)


async def test_a_letter_from_before_reasons_were_kept_is_read(journal: Journal, letters: DeadLetters) -> None:
    text = '{"command": {"id": "execute:c0", "kind": "execute", "candidate": "c0"}, "queue": "q"}'
    await journal.redis.xadd("{atlas}:dead", {"task": "old", "letter": text})
    (letter,) = (await letters.list(10)).letters
    assert (letter.service, letter.detail) == ("sandbox", "")
