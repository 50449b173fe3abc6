"""LlamaClient over real sockets, against a scripted server."""

from __future__ import annotations

import asyncio
import math

import pytest
from scripted_llama import (
    Connection,
    Script,
    Scripted,
    answering,
    last,
    part,
    scripted_client,
    scripted_server,
    streaming,
)

from atlas.contracts import SamplingParams, Usage
from atlas.errors import ModelServerError
from atlas.llama import CompletionRequest, LlamaClient
from atlas.llama_stream import LOGPROB_FLOOR, summarise

SAMPLING = SamplingParams(temperature=0.7, max_tokens=16, seed=3)
REQUEST = CompletionRequest(prompt="Once", sampling=SAMPLING)


server = pytest.fixture(scripted_server)
client = pytest.fixture(scripted_client)


async def test_a_completion_is_its_text_tokens_slot_and_time(server: Scripted, client: LlamaClient) -> None:
    heard: list[int] = []
    result = await client.complete(REQUEST, heard.append)
    (choice,) = result.choices
    assert choice.text == "a b"
    assert choice.usage == Usage(tokens_in=35, tokens_out=2, tokens_cached=30)
    assert choice.finish == "stop"
    assert choice.logprob
    assert choice.logprob.mean == -0.5
    assert result.slot == 2
    assert result.server_s == 0.5
    assert sum(heard) == 2
    (sent,) = server.requests
    assert (sent["prompt"], sent["n_predict"], sent["seed"]) == ("Once", 16, 3)
    assert sent["cache_prompt"] is True
    assert "id_slot" not in sent, "a busy slot that is asked for is overwritten"
    assert "json_schema" not in sent


async def test_choices_come_interleaved_and_are_counted_each(server: Scripted, client: LlamaClient) -> None:
    server.script = streaming(
        part("x", 1, index=1),
        part("a", 1, index=0),
        part("y", 2, index=1, logprob=-2.0),
        last(2, index=1, slot=0, stop="limit"),
        part("b", 2, index=0),
        part("c", 3, index=0),
        last(3, index=0, slot=3, stop="word", cached=0),
    )
    heard: list[int] = []
    result = await client.complete(REQUEST.model_copy(update={"n": 2}), heard.append)
    assert [choice.text for choice in result.choices] == ["abc", "xy"]
    assert [choice.usage.tokens_out for choice in result.choices] == [3, 2]
    assert [choice.usage.tokens_cached for choice in result.choices] == [0, 35], "the prompt is read once"
    assert [choice.finish for choice in result.choices] == ["stop", "length"]
    means = [choice.logprob and choice.logprob.mean for choice in result.choices]
    assert means == [-0.5, -1.25]
    assert sum(heard) == 5
    assert result.slot == 3, "the slot of the first choice"
    assert result.server_s == pytest.approx(0.501)
    assert server.requests[0]["n_cmpl"] == 2


async def test_a_schema_is_passed_on(server: Scripted, client: LlamaClient) -> None:
    schema = {"type": "object"}
    await client.complete(REQUEST.model_copy(update={"json_schema": schema}))
    assert server.requests[0]["json_schema"] == schema


async def test_forced_tokens_count_as_the_floor(server: Scripted, client: LlamaClient) -> None:
    chunks = [part(str(i), i + 1, logprob=value) for i, value in enumerate([None, -math.inf, -1e9, 0.5, 0.0])]
    server.script = streaming(*chunks, last(5))
    (choice,) = (await client.complete(REQUEST)).choices
    assert choice.logprob
    assert choice.logprob.minimum == LOGPROB_FLOOR
    assert choice.logprob.mean == pytest.approx(3 * LOGPROB_FLOOR / 5)


def test_the_lowest_decile_is_at_least_one_token() -> None:
    assert summarise([]) is None
    few = summarise([-1.0, -3.0])
    assert few
    assert (few.mean, few.minimum, few.lowest_decile) == (-2.0, -3.0, -3.0)
    many = summarise([-1.0] * 18 + [-5.0, -7.0])
    assert many
    assert many.lowest_decile == -6.0


@pytest.mark.parametrize(("status", "retryable"), [(502, True), (500, True), (400, False), (401, False)])
async def test_a_refusal_says_whether_to_try_again(
    server: Scripted, client: LlamaClient, status: int, retryable: bool
) -> None:
    server.script = answering(status, {"error": {"message": "because of this"}})
    with pytest.raises(ModelServerError, match="because of this") as raised:
        await client.complete(REQUEST)
    assert raised.value.retryable is retryable
    assert server.paths.count("/completion") == 1, "asked once: only a server that is away is asked again"


@pytest.mark.parametrize(("status", "retryable"), [(502, True), (500, False), (501, False), (404, False)])
async def test_what_only_looks_at_a_request_would_fail_again(
    server: Scripted, client: LlamaClient, status: int, retryable: bool
) -> None:
    server.facts = None
    server.script = answering(status, {"error": {"message": "because of this"}})
    asked = [lambda: client.chat_prompt([]), client.model, client.facts, lambda: client.embed("x")]
    for ask in [*asked, lambda: client.complete(REQUEST)]:
        with pytest.raises(ModelServerError, match="because of this") as raised:
            await ask()
        assert raised.value.retryable is retryable
    assert len(server.paths) == 5


async def _cut(connection: Connection) -> None:
    await connection.begin()
    await connection.send(part("a", 1))


@pytest.mark.parametrize(
    "script",
    [
        _cut,
        streaming(part("a", 1)),
        streaming(part("a", 1, index=0), last(1, index=0)),
        streaming(part("a", 1), {"error": {"code": 500, "message": "Context size has been exceeded."}}),
        streaming(part("a", 1), b'error: {"code":500}\n\n'),
    ],
    ids=["connection cut", "ended early", "one of two", "error event", "error field"],
)
async def test_a_broken_stream_is_a_retryable_error(
    server: Scripted, client: LlamaClient, script: Script
) -> None:
    server.script = script
    with pytest.raises(ModelServerError) as raised:
        await client.complete(REQUEST.model_copy(update={"n": 2}))
    assert raised.value.retryable


async def test_a_refusal_in_the_stream_is_not_tried_again(server: Scripted, client: LlamaClient) -> None:
    server.script = streaming({"error": {"code": 400, "message": "no"}})
    with pytest.raises(ModelServerError, match="no") as raised:
        await client.complete(REQUEST)
    assert not raised.value.retryable


@pytest.mark.parametrize(
    "script",
    [
        streaming(b"data: <html>\n\n"),
        streaming({"choices": []}),
        streaming(part("a", 1, index=7)),
        streaming({**last(1), "tokens_predicted": -1}),
        streaming({**last(1), "timings": None}),
        streaming([1]),
    ],
    ids=["no JSON", "another protocol", "strange index", "strange count", "no timings", "no object"],
)
async def test_an_answer_in_another_language_is_our_error_and_not_tried_again(
    server: Scripted, client: LlamaClient, script: Script
) -> None:
    server.script = script
    with pytest.raises(ModelServerError) as raised:
        await client.complete(REQUEST)
    assert not raised.value.retryable


@pytest.mark.parametrize("body", [b"<html>", {"other": 1}, [1]])
async def test_another_server_at_the_address_is_our_error(
    server: Scripted, client: LlamaClient, body: object
) -> None:
    server.facts = None
    server.script = answering(200, body)
    for ask in (lambda: client.chat_prompt([]), client.model, client.facts, lambda: client.embed("x")):
        with pytest.raises(ModelServerError, match="no llama-server would") as raised:
            await ask()
        assert not raised.value.retryable


async def test_nobody_at_the_address_is_a_retryable_error(unused_tcp_port: int) -> None:
    client = LlamaClient(f"http://127.0.0.1:{unused_tcp_port}", patience_s=0)
    for ask in (lambda: client.complete(REQUEST), lambda: client.chat_prompt([]), client.model):
        with pytest.raises(ModelServerError) as raised:
            await ask()
        assert raised.value.retryable
    reason = await client.ready()
    assert reason
    assert str(unused_tcp_port) in reason
    await client.aclose()


async def test_ready_says_what_the_server_says(server: Scripted, client: LlamaClient) -> None:
    server.script = answering(503, {"error": {"message": "Loading model"}})
    assert "503" in (await client.ready() or "")
    server.script = answering(200, {"status": "ok"})
    assert await client.ready() is None


async def test_the_name_and_the_template_are_the_servers(server: Scripted, client: LlamaClient) -> None:
    server.facts = None
    server.script = answering(200, {"model_alias": "smol", "prompt": "<user>hi"})
    assert await client.model() == "smol"
    assert await client.chat_prompt([{"role": "user", "content": "hi"}]) == "<user>hi"
    (asked,) = server.requests
    assert asked["messages"] == [{"role": "user", "content": "hi"}]


async def test_cancelling_closes_the_stream_at_once(server: Scripted, client: LlamaClient) -> None:
    streams, gone = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.begin()
        await connection.send(part("a", 1))
        streams.set()
        await connection.closed()
        gone.set()

    server.script = script
    drawing = asyncio.create_task(client.complete(REQUEST))
    await asyncio.wait_for(streams.wait(), 2)
    drawing.cancel()
    await asyncio.wait_for(gone.wait(), 0.5)
    with pytest.raises(asyncio.CancelledError):
        await drawing


async def test_nothing_goes_through_a_proxy(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = LlamaClient(server.url)
    assert (await client.complete(REQUEST)).choices[0].text == "a b"
    await client.aclose()


async def test_a_call_over_a_connection_that_the_server_is_about_to_drop_is_not_made(
    server: Scripted, client: LlamaClient
) -> None:
    """llama-server drops one it has streamed over; it must be told to, or httpx would use it again."""
    await client.complete(REQUEST)
    await client.complete(REQUEST)
    heads = [head.lower() for head in server.headers if "/completion" in head]
    assert ["connection: close" in head for head in heads] == [True, True]
