"""LlamaClient where things go wrong: what is asked again, what is given up, what is not begun."""

from __future__ import annotations

import asyncio

import pytest
from scripted_llama import (
    Connection,
    Script,
    Scripted,
    answering,
    hang_up,
    in_turn,
    last,
    part,
    props,
    scripted_client,
    scripted_server,
    streaming,
)

from atlas.contracts import SamplingParams
from atlas.errors import ModelServerError
from atlas.llama import LEAST_ROOM, CompletionRequest, LlamaClient

server = pytest.fixture(scripted_server)
client = pytest.fixture(scripted_client)

REQUEST = CompletionRequest(prompt="Once", sampling=SamplingParams(temperature=0.7, max_tokens=16, seed=3))
WHOLE = streaming(part("a", 1), part(" b", 2), last(2))
LOADING = answering(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})


async def _begin_and_hang_up(connection: Connection) -> None:
    await connection.begin()
    await hang_up(connection)


async def _draw_and_hang_up(connection: Connection) -> None:
    await connection.begin()
    await connection.send(part("a", 1))
    await asyncio.sleep(0.05)  # so that it arrives before the reset does
    await hang_up(connection)


# ---------------------------------------------------------------- asked again


@pytest.mark.parametrize(
    "fault",
    [LOADING, hang_up, _begin_and_hang_up, in_turn(LOADING, hang_up)],
    ids=["loading", "reset before an answer", "reset before a token", "one after the other"],
)
async def test_a_call_that_nothing_came_of_is_made_again(
    server: Scripted, client: LlamaClient, fault: Script
) -> None:
    heard: list[int] = []
    server.script = in_turn(fault, WHOLE)
    result = await client.complete(REQUEST, heard.append)
    assert result.choices[0].text == "a b"
    assert server.paths.count("/completion") == 2
    assert sum(heard) == 2


async def test_every_call_waits_for_a_server_that_loads(server: Scripted, client: LlamaClient) -> None:
    server.facts = None
    server.script = in_turn(LOADING, answering(200, {"prompt": "<user>hi"}))
    assert await client.chat_prompt([{"role": "user", "content": "hi"}]) == "<user>hi"
    server.script = in_turn(LOADING, answering(200, [{"embedding": [[1.0, 2.0]]}]))
    assert (await client.embed("hi")).n_embd == 2
    server.script = in_turn(LOADING, answering(200, props()), WHOLE)
    assert (await client.complete(REQUEST)).choices[0].text == "a b"


async def test_a_server_that_stays_away_is_told_after_a_while(server: Scripted) -> None:
    server.script = LOADING
    client = LlamaClient(server.url, patience_s=0.2)
    with pytest.raises(ModelServerError, match="Loading model") as raised:
        await client.complete(REQUEST)
    assert raised.value.retryable, "the worker waits longer"
    assert 2 <= server.paths.count("/completion") < 10, "later and later"
    await client.aclose()


async def test_a_call_that_drew_tokens_is_not_made_again_here(server: Scripted, client: LlamaClient) -> None:
    heard: list[int] = []
    server.script = in_turn(_draw_and_hang_up, WHOLE)
    with pytest.raises(ModelServerError) as raised:
        await client.complete(REQUEST, heard.append)
    assert raised.value.retryable
    assert (server.paths.count("/completion"), heard) == (1, [1]), "what was drawn was told of"


# ---------------------------------------------------------------- given up in time


async def _trickle(connection: Connection) -> None:
    await connection.begin()
    for count in range(1, 1000):
        await connection.send(part("a", count))
        await asyncio.sleep(0.01)


async def _silence(connection: Connection) -> None:
    await connection.closed()


@pytest.mark.parametrize("script", [_trickle, _silence, LOADING], ids=["trickle", "silence", "loading"])
async def test_a_call_ends_at_its_timeout_whatever_the_server_does(server: Scripted, script: Script) -> None:
    left = asyncio.Event()

    async def watched(connection: Connection) -> None:
        playing = asyncio.ensure_future(script(connection))
        await asyncio.wait(
            {playing, asyncio.ensure_future(connection.closed())}, return_when="FIRST_COMPLETED"
        )
        playing.cancel()
        left.set()

    server.script = watched
    client = LlamaClient(server.url, patience_s=60)
    with pytest.raises(ModelServerError, match=r"its slot freed, at its 0\.15 s timeout") as raised:
        await asyncio.wait_for(client.complete(REQUEST.model_copy(update={"timeout_s": 0.15})), 2)
    assert not raised.value.retryable
    await asyncio.wait_for(left.wait(), 0.5)
    await client.aclose()


# ---------------------------------------------------------------- room in the context


async def sent(server: Scripted, client: LlamaClient, context: int, **changed: object) -> int:
    """How many tokens are asked for, of 200, after a prompt of 100 in that context."""
    server.facts, server.prompt_tokens = props(context), 100
    sampling = SamplingParams(temperature=0, max_tokens=200, seed=0)
    n = int(str(changed.get("n", 1)))
    chunks = [chunk for index in range(n) for chunk in (part("a", 1, index=index), last(1, index=index))]
    server.script = streaming(*chunks)
    await client.complete(CompletionRequest(prompt="word " * 100, sampling=sampling, n=n))
    return int(server.requests[-1]["n_predict"])


async def test_a_completion_is_cut_to_the_room_it_has(server: Scripted, client: LlamaClient) -> None:
    assert await sent(server, client, 300) == 200
    assert await sent(server, client, 299) == 199
    assert await sent(server, client, 100 + LEAST_ROOM) == LEAST_ROOM


async def test_completions_of_one_call_share_the_room(server: Scripted, client: LlamaClient) -> None:
    assert await sent(server, client, 900, n=4) == 200
    assert await sent(server, client, 899, n=4) == 199
    with pytest.raises(
        ModelServerError, match=r"100 tokens; with 4 completions of 64 tokens .* of 355: raise"
    ):
        await sent(server, client, 355, n=4)


async def test_a_prompt_that_leaves_no_room_is_not_sent(server: Scripted, client: LlamaClient) -> None:
    with pytest.raises(ModelServerError, match=r"100 tokens; .* of 163: raise CONTEXT_TOKENS") as raised:
        await sent(server, client, 163)
    assert not raised.value.retryable
    assert "/completion" not in server.paths


async def test_a_prompt_that_fits_by_its_length_is_not_tokenized(
    server: Scripted, client: LlamaClient
) -> None:
    await sent(server, client, 708)
    assert "/tokenize" not in server.paths, "500 bytes are 500 tokens at most"
    await sent(server, client, 707)
    assert "/tokenize" in server.paths
