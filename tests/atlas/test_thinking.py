"""Tags of thinking: which templates have a mode for it, and what a prompt ends with in either."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.llama import LlamaClient
from atlas.llama_fake import FakeModelServer
from atlas.pins import current_pins
from atlas.thinking import USUAL_TAGS, ThinkingTags
from tests.atlas.scripted_llama import Connection, Scripted

HEAD = "<user>2+2?\n<assistant>\n"
MESSAGES = [{"role": "user", "content": "2+2?"}]
# What a family's template ends with: in its thinking mode, in the other.
QWEN3 = ("", "<think>\n\n</think>\n\n")
QWEN35 = ("<think>\n", "<think>\n\n</think>\n\n")
R1 = ("<think>\n", "<think>\n</think>")
ALWAYS_OPEN = ("<think>\n", "<think>\n")
NONE = ("", "")
OWN = ThinkingTags("[T]", "[/T]", always=True)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield server
    listening.close()


@pytest.fixture
async def client_of(scripted: Scripted) -> AsyncIterator[Callable[..., LlamaClient]]:
    """Makes clients of a server whose template has those two endings."""
    clients: list[LlamaClient] = []

    def make(ends: tuple[str, str], tags: ThinkingTags = USUAL_TAGS) -> LlamaClient:
        async def script(connection: Connection) -> None:
            thinking = True
            if connection.body:
                thinking = json.loads(connection.body)["chat_template_kwargs"]["enable_thinking"]
            prompt = HEAD + ends[0 if thinking else 1]
            await connection.answer(200, {"prompt": prompt, "model_alias": "m"})

        scripted.script = script
        clients.append(LlamaClient(scripted.url, tags=tags))  # type: ignore[attr-defined]
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(
    ("ends", "tags", "thinking", "plain"),
    [
        (QWEN3, USUAL_TAGS, "<think>\n", "<think>\n\n</think>\n\n"),
        (QWEN35, USUAL_TAGS, "<think>\n", "<think>\n\n</think>\n\n"),
        (R1, USUAL_TAGS, "<think>\n", "<think>\n</think>"),
        (ALWAYS_OPEN, USUAL_TAGS, "<think>\n", "<think>\n\n</think>\n\n"),
        (NONE, OWN, "[T]\n", "[T]\n\n[/T]\n\n"),
        (("[T]", "[T][/T]"), OWN, "[T]", "[T][/T]"),
    ],
    ids=["qwen3", "qwen3.5", "r1", "always open", "own tags", "own tags in the template"],
)
async def test_a_thinking_model_is_known_by_its_template_or_by_name(
    client_of: Callable[..., LlamaClient],
    ends: tuple[str, str],
    tags: ThinkingTags,
    thinking: str,
    plain: str,
) -> None:
    client = client_of(ends, tags)
    assert await client.thinking() == tags
    assert await client.chat_prompt(MESSAGES, thinking=True) == HEAD + thinking
    assert await client.chat_prompt(MESSAGES) == HEAD + plain
    assert (await current_pins(client)).thinks


async def test_a_model_without_a_thinking_mode_is_asked_as_ever(
    client_of: Callable[..., LlamaClient],
) -> None:
    client = client_of(NONE)
    assert await client.thinking() is None
    assert await client.chat_prompt(MESSAGES) == HEAD
    assert not (await current_pins(client)).thinks


async def test_other_tags_than_the_usual_are_not_guessed(client_of: Callable[..., LlamaClient]) -> None:
    assert await client_of(("[T]", "[T][/T]")).thinking() is None


async def test_the_fake_thinks_when_told_to() -> None:
    assert await FakeModelServer(str).thinking() is None
    assert (await FakeModelServer(str, tags=OWN).chat_prompt(MESSAGES, thinking=True)).endswith("[T]\n")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_setting_means_the_usual_tags(text: str) -> None:
    assert ThinkingTags.parse(text) == USUAL_TAGS


@pytest.mark.parametrize("text", ["<think>", "a a", "a b c"])
def test_a_setting_that_is_not_two_tags_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="two different tags"):
        ThinkingTags.parse(text)


@given(prompt=st.text(max_size=40), tags=st.sampled_from([USUAL_TAGS, OWN]))
def test_an_opened_prompt_ends_open_and_a_skipped_one_closed_wherever_there_was_a_block(
    prompt: str, tags: ThinkingTags
) -> None:
    opened = tags.begun(prompt)
    assert opened.startswith(prompt)
    assert opened.rstrip().endswith(tags.opening)
    assert tags.begun(opened) == opened
    closed = tags.skipped(opened)
    assert closed.startswith(opened)
    assert closed.rstrip().endswith(tags.closing)
    assert tags.skipped(closed) == closed
