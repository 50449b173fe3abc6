"""A local HTTP server that answers as llama-server does, or as a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from atlas.llama import LlamaClient


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
    """A local HTTP server that plays one script for every request.

    `requests` keeps what the script was asked, as JSON; `paths` and `headers` those of every request.

    With `facts` it answers /props from them by itself, and /tokenize with `prompt_tokens` tokens.
    """

    def __init__(self, facts: dict[str, Any] | None = None, prompt_tokens: int = 35) -> None:
        self.script: Script = _whole
        self.facts, self.prompt_tokens = facts, prompt_tokens
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next((int(v.split(":")[1]) for v in lines if v.startswith("content-length")), 0)
            body = await reader.readexactly(length)
            connection = Connection(head.decode().split()[1], body, reader, writer)
            self.paths.append(connection.path)
            self.headers.append(head.decode())
            if self.facts is not None and connection.path == "/props":
                await connection.answer(200, self.facts)
            elif self.facts is not None and connection.path == "/tokenize":
                await connection.answer(200, {"tokens": [1] * self.prompt_tokens})
            else:
                if body:
                    self.requests.append(json.loads(body))
                await self.script(connection)
        finally:
            writer.close()


def props(context: int = 8192, **more: object) -> dict[str, Any]:
    """What /props says of a server, as far as a completion needs it."""
    return {
        "model_alias": "smol",
        "total_slots": 4,
        "default_generation_settings": {"n_ctx": context},
        **more,
    }


async def scripted_server() -> AsyncIterator[Scripted]:
    """Serve on a port of this machine; to be made a fixture of."""
    scripted = Scripted(props())
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield scripted
    listening.close()


async def scripted_client(server: Scripted) -> AsyncIterator[LlamaClient]:
    """A client of the fixture `server`, as patient as need be for one more try."""
    client = LlamaClient(server.url, patience_s=0.5)
    yield client
    await client.aclose()


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


def in_turn(*scripts: Script) -> Script:
    """Play one after the other, the last one for ever."""
    left = list(scripts)

    async def script(connection: Connection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(connection)

    return script


async def hang_up(connection: Connection) -> None:
    """Reset the connection, without a word."""
    connection.writer.transport.abort()


def answering(status: int, body: object) -> Script:
    return lambda connection: connection.answer(status, body)


_whole = streaming(part("a", 1), part(" b", 2), last(2))
