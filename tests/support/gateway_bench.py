"""A gateway served to a test, on a socket or in process, and a model server that only says its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def served(app: Any, uds: str | None = None) -> AsyncIterator[str]:
    """Serve an app on a real socket, in this loop; give its URL (that of a unix socket is nominal)."""
    config = uvicorn.Config(app, port=0, uds=uds, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.005)
    yield (
        f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}" if uds is None else "http://unix"
    )
    server.should_exit = True
    await serving


async def llama(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All the gateway asks of a model server: /health, /props and /apply-template."""
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"status": "ok", "model_alias": "smol", "prompt": ""}'
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def client_of(app: FastAPI, url: str = "http://gateway") -> AsyncIterator[httpx.AsyncClient]:
    """Call an app in process. Without a port in `url` the app takes it for a call by a unix socket."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=url))


def is_problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """Assert a problem+json answer that names `words` and leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    for word in words:
        assert word in body["detail"]
    for leak in ("Traceback", 'File "', ".py", "site-packages"):
        assert leak not in answer.text
    return body
