"""LlamaClient over real sockets: against a scripted server, and (integration) the real one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from atlas.contracts import SamplingParams
from atlas.errors import ModelServerError
from atlas.llama import LOGPROB_FLOOR, CompletionRequest, LlamaClient, summarise

SAMPLING = SamplingParams(temperature=0.7, max_tokens=16, seed=3)
REQUEST = CompletionRequest(prompt="Once", sampling=SAMPLING)


class Connection:
    """One request to the scripted server, and the ways to answer it."""

    def __init__(
        self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.path, self.body = path, body
        self.reader, self.writer = reader, writer

    async def answer(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        self.writer.write(head.encode() + text)
        await self.writer.drain()

    async def begin(self) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())
        await self.writer.drain()

    async def send(self, *chunks: object) -> None:
        for chunk in chunks:
            data = chunk if isinstance(chunk, bytes) else f"data: {json.dumps(chunk)}\n\n".encode()
            self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the client has gone."""
        while await self.reader.read(1000):
            pass


Script = Callable[[Connection], Awaitable[None]]


class Scripted:
    """A local HTTP server that plays one script for every request; `requests` keeps their JSON."""

    def __init__(self) -> None:
        self.script: Script = _whole
        self.requests: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next((int(v.split(":")[1]) for v in lines if v.startswith("content-length")), 0)
            body = await reader.readexactly(length)
            if body:
                self.requests.append(json.loads(body))
            await self.script(Connection(head.decode().split()[1], body, reader, writer))
        finally:
            writer.close()


def part(text: str, tokens: int, *, index: int = 0, logprob: float | None = -0.5) -> dict[str, Any]:
    """A chunk as llama-server streams it while it draws."""
    probability = {"id": 1, "token": text, "bytes": [1], "logprob": logprob, "top_logprobs": []}
    return {
        "index": index,
        "content": text,
        "tokens": [1],
        "stop": False,
        "id_slot": -1,
        "tokens_predicted": tokens,
        "tokens_evaluated": 35,
        "completion_probabilities": [probability],
    }


def last(
    tokens: int, *, index: int = 0, slot: int = 2, stop: str = "eos", cached: int = 30
) -> dict[str, Any]:
    """The chunk that ends a completion."""
    timings = {"cache_n": cached, "prompt_n": 5, "prompt_ms": 100.0, "predicted_ms": 400.0 + index}
    return {
        "index": index,
        "content": "",
        "tokens": [],
        "stop": True,
        "id_slot": slot,
        "tokens_predicted": tokens,
        "tokens_evaluated": 35,
        "stop_type": stop,
        "tokens_cached": 40,
        "timings": timings,
    }


def streaming(*chunks: object) -> Script:
    async def script(connection: Connection) -> None:
        await connection.begin()
        await connection.send(*chunks)
        await connection.end()

    return script


def answering(status: int, body: object) -> Script:
    return lambda connection: connection.answer(status, body)


_whole = streaming(part("a", 1), part(" b", 2), last(2))


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield scripted
    listening.close()


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[LlamaClient]:
    client = LlamaClient(server.url)  # type: ignore[attr-defined]
    yield client
    await client.aclose()


async def test_a_completion_is_its_text_tokens_slot_and_time(server: Scripted, client: LlamaClient) -> None:
    heard: list[int] = []
    result = await client.complete(REQUEST.model_copy(update={"slot": 2}), heard.append)
    (choice,) = result.choices
    assert choice.text == "a b"
    assert choice.usage.model_dump() == {"tokens_in": 35, "tokens_out": 2, "tokens_cached": 30}
    assert choice.finish == "stop"
    assert choice.logprob
    assert choice.logprob.mean == -0.5
    assert result.slot == 2
    assert result.server_s == 0.5
    assert sum(heard) == 2
    (sent,) = server.requests
    assert (sent["prompt"], sent["n_predict"], sent["seed"], sent["id_slot"]) == ("Once", 16, 3, 2)
    assert sent["cache_prompt"] is True
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
    assert [choice.usage.tokens_cached for choice in result.choices] == [0, 30]
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


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (500, True), (400, False), (404, False)])
async def test_a_refusal_says_whether_to_try_again(
    server: Scripted, client: LlamaClient, status: int, retryable: bool
) -> None:
    server.script = answering(status, {"error": {"message": "because of this"}})
    for ask in (lambda: client.complete(REQUEST), lambda: client.chat_prompt([]), client.model):
        with pytest.raises(ModelServerError, match="because of this") as raised:
            await ask()
        assert raised.value.retryable is retryable


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
    server.script = answering(200, body)
    for ask in (lambda: client.chat_prompt([]), client.model):
        with pytest.raises(ModelServerError):
            await ask()


async def test_nobody_at_the_address_is_a_retryable_error(unused_tcp_port: int) -> None:
    client = LlamaClient(f"http://127.0.0.1:{unused_tcp_port}")
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
    server.script = answering(200, {"model_alias": "smol", "prompt": "<user>hi"})
    assert await client.model() == "smol"
    assert await client.chat_prompt([{"role": "user", "content": "hi"}]) == "<user>hi"
    assert server.requests == [{"messages": [{"role": "user", "content": "hi"}]}]


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
    client = LlamaClient(server.url)  # type: ignore[attr-defined]
    assert (await client.complete(REQUEST)).choices[0].text == "a b"
    await client.aclose()


# ---------------------------------------------------------------- the real server


@pytest.fixture
async def real(llama_url: str) -> AsyncIterator[LlamaClient]:
    client = LlamaClient(llama_url)
    yield client
    await client.aclose()


async def asked(client: LlamaClient, text: str, **sampling: Any) -> CompletionRequest:
    prompt = await client.chat_prompt([{"role": "user", "content": text}])
    params = SamplingParams(**{"temperature": 0.8, "max_tokens": 16, "seed": 3, **sampling})
    return CompletionRequest(prompt=prompt, sampling=params)


@pytest.mark.integration
async def test_real_two_choices_differ_and_are_counted_each(real: LlamaClient) -> None:
    assert await real.ready() is None
    assert "smollm2" in (await real.model()).lower()
    heard: list[int] = []
    request = (await asked(real, "Tell me about cats.")).model_copy(update={"n": 2})
    result = await real.complete(request, heard.append)
    texts = [choice.text for choice in result.choices]
    assert all(texts)
    assert texts[0] != texts[1], "each choice has a seed of its own"
    assert sum(heard) == sum(choice.usage.tokens_out for choice in result.choices) > 2
    for choice in result.choices:
        assert 0 < choice.usage.tokens_out <= 16
        assert choice.usage.tokens_in > 10
        assert choice.logprob
        assert LOGPROB_FLOOR < choice.logprob.mean < 0
    assert result.server_s > 0
    again = await real.complete(request.model_copy(update={"n": 1}))
    assert again.choices[0].text == texts[0], "the first choice is what n=1 draws with the same seed"


@pytest.mark.integration
async def test_real_schema_is_kept(real: LlamaClient) -> None:
    item = {"type": "string", "minLength": 1, "maxLength": 12}
    schema = {"type": "object", "properties": {"name": item}, "required": ["name"]}
    schema["additionalProperties"] = False  # the server's grammar allows others otherwise
    request = (await asked(real, "Name a cat, as JSON.", max_tokens=64)).model_copy(
        update={"json_schema": schema}
    )
    (choice,) = (await real.complete(request)).choices
    assert choice.finish == "stop"
    assert list(json.loads(choice.text)) == ["name"]


@pytest.mark.integration
async def test_real_second_call_finds_its_prefix_in_its_slot(real: LlamaClient) -> None:
    request = await asked(real, "Write about the sea. " + "And the wind. " * 40, max_tokens=4)
    first = await real.complete(request)
    second = await real.complete(request.model_copy(update={"slot": first.slot}))
    usage = second.choices[0].usage
    assert second.slot == first.slot
    assert usage.tokens_cached >= 0.9 * usage.tokens_in > 100


@pytest.mark.integration
async def test_real_cancelling_frees_the_slot_within_a_second(real: LlamaClient, llama_url: str) -> None:
    async def busy(http: httpx.AsyncClient) -> int:
        return sum(slot["is_processing"] for slot in (await http.get("/slots")).json())

    streams = asyncio.Event()
    request = await asked(real, "Count to ten thousand.", max_tokens=4000)
    drawing = asyncio.create_task(real.complete(request, lambda _: streams.set()))
    await asyncio.wait_for(streams.wait(), 20)
    async with httpx.AsyncClient(base_url=llama_url) as http:
        assert await busy(http) == 1
        drawing.cancel()
        for _ in range(20):
            if await busy(http) == 0:
                break
            await asyncio.sleep(0.05)
        assert await busy(http) == 0
    with pytest.raises(asyncio.CancelledError):
        await drawing
