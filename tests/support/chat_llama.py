"""A llama-server whose chat endpoint says what a test wants, as slowly as the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from tests.atlas.scripted_llama import props

WORDS = ("one ", "two ", "three")


@dataclass
class ChatLlama:
    """Served under the alias `smol`.

    `bodies` are the requests it was sent, byte for byte. A stream's words after the first wait for `go`,
    and so does a whole answer; `left` is set when a client goes before its answer is whole.
    """

    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> FastAPI:
        """Return the app to serve."""
        app = FastAPI()
        app.add_api_route("/health", lambda: {"status": "ok"})
        app.add_api_route("/props", lambda: props())
        app.add_api_route("/v1/models", lambda: {"data": [{"id": "smol"}]})
        app.add_api_route("/v1/chat/completions", self._chat, methods=["POST"])
        return app

    async def _chat(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(dict(request.headers))
        body: dict[str, Any] = json.loads(self.bodies[-1])
        if body.get("temperature", 0) > 2:
            error = {"code": 400, "message": "temperature is too hot", "type": "invalid_request_error"}
            return JSONResponse({"error": error}, 400)
        if body.get("stream"):
            return StreamingResponse(self._words(), media_type="text/event-stream")
        await self._unless_gone(request)
        message = {"role": "assistant", "content": "".join(WORDS)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        head = {"id": "x1", "object": "chat.completion", "created": 1, "model": "smol"}
        return JSONResponse({**head, "choices": [choice], "timings": {"predicted_ms": 1.5}})

    async def _unless_gone(self, request: Request) -> None:
        going = asyncio.ensure_future(self.go.wait())
        while not going.done():
            await asyncio.wait({going}, timeout=0.02)
            if await request.is_disconnected():
                self.left.set()
                going.cancel()

    async def _words(self) -> AsyncIterator[str]:
        whole = False
        try:
            for index, word in enumerate(WORDS):
                if index:
                    await self.go.wait()
                delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
                head = {"id": "x1", "object": "chat.completion.chunk", "created": 1, "model": "smol"}
                yield f"data: {json.dumps({**head, 'choices': [delta]})}\n\n"
            whole = True
            yield "data: [DONE]\n\n"
        finally:
            if not whole:
                self.left.set()
