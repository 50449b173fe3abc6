"""A proxy in front of a real server that keeps every request it passes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


class RecordingProxy:
    """`requests` holds each request's line, headers and body as bytes."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.requests: list[bytes] = []
        self.url = ""

    async def _pass_on(self, request: Request) -> StreamingResponse:
        body = await request.body()
        self.requests.append(f"{request.method} {request.url}\n{request.headers}\n".encode() + body)
        client = httpx.AsyncClient(base_url=self.target, timeout=600)
        sent = client.build_request(request.method, request.url.path, content=body)
        answer = await client.send(sent, stream=True)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()
                await client.aclose()

        kind = answer.headers.get("content-type")
        return StreamingResponse(chunks(), status_code=answer.status_code, media_type=kind)

    @contextmanager
    def serving(self) -> Iterator[RecordingProxy]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = Starlette(routes=[Route("/{path:path}", self._pass_on, methods=["GET", "POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
