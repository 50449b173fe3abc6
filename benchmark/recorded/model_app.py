"""A model server that answers from a record: as much of llama-server's API as `atlas.llama.LlamaClient` uses.

`recording`: what the record does not have is drawn by a real llama-server behind it, and recorded.
`frozen`: there is none. What is not there is refused with 404 `Unanswerable`, which no client asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from atlas.errors import BadInput, InfrastructureError
from atlas.llama_stream import PATH
from atlas.model_facts import ModelFacts
from benchmark.recorded.chat_template import ChatTemplate, TemplateFailed
from benchmark.recorded.chunks import chunks_of
from benchmark.recorded.completions import Call, Recorded, Records
from benchmark.recorded.upstream import BROKEN, Drawing, Refused, Upstream

UNANSWERABLE = "Unanswerable"
PASSED_ON = {
    "GET": ("/health", "/props", "/slots"),
    "POST": ("/apply-template", "/tokenize", "/embedding"),
}
Chunks = AsyncIterator[dict[str, Any]]


@dataclass
class Counts:
    """What a server has done so far, in choices: taken from the record, and not to be had."""

    recorded: int = 0
    unanswerable: int = 0
    refused: list[str] = field(default_factory=list)


def recording(upstream: Upstream, model: str, counts: Counts) -> FastAPI:
    """Return the app over a real llama-server, which serves `model`."""
    app = FastAPI()

    async def pass_on(request: Request) -> Response:
        try:
            answer = await upstream.http.request(
                request.method, request.url.path, content=await request.body(), headers=_JSON
            )
        except httpx.HTTPError as error:
            return _error(503, f"the upstream llama-server fails: {error!r}")
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    for method, paths in PASSED_ON.items():
        for path in paths:
            app.add_api_route(path, pass_on, methods=[method])

    @app.post(PATH)
    async def completion(request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        call = _call(body, model)
        try:
            found = {seed: await upstream.found(call, seed) for seed in call.seeds}
        except BROKEN as error:
            return _failed(error)
        missing = [seed for seed in call.seeds if found[seed] is None]
        drawings = iter(upstream.drawing(call, body, missing))
        sources: list[Recorded | tuple[Drawing, int]] = [
            known.model_copy(update={"slot": None}) if (known := found[seed]) else next(drawings)
            for seed in call.seeds
        ]
        counts.recorded += len(sources) - len(missing)
        joined = [source[0] for source in sources if isinstance(source, tuple)]
        try:
            for drawing in joined:
                await drawing.begun()
        except BROKEN as error:
            await _leave(joined)
            return _failed(error)
        except asyncio.CancelledError:
            await _leave(joined)
            raise
        return _Answer(sources, joined)

    _add_errors(app)
    return app


def frozen(store: Records, facts: ModelFacts, counts: Counts) -> FastAPI:
    """Return the app of a record alone, of the model that `facts` tell of.

    Raises:
        InfrastructureError: the model's chat template cannot be rendered here as its server did.
    """
    app = FastAPI()
    _add_facts(app, facts, span=store.has_spans())

    def refuse(what: str) -> JSONResponse:
        counts.unanswerable += 1
        counts.refused.append(what)
        return _error(404, f"not in the record: {what}", UNANSWERABLE)

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        prompt = (await request.json())["content"]
        tokens = store.tokens_in(prompt)
        if tokens is None:
            end = json.dumps(prompt[-60:], ensure_ascii=False)
            return refuse(f"the length of a prompt of {len(prompt)} characters (ends {end})")
        return JSONResponse({"tokens": [0] * tokens})

    @app.post("/embedding")
    async def embedding() -> Response:
        return refuse("an embedding of a text")

    @app.post(PATH)
    async def completion(request: Request) -> Response:
        call = _call(await request.json(), facts.model)
        found = [store.find(call, seed) for seed in call.seeds]
        sources = [recorded for recorded in found if recorded is not None]
        if len(sources) < len(found):
            return refuse(call.told())
        counts.recorded += len(sources)
        return _Answer(sources, [])

    _add_errors(app)
    return app


def _add_facts(app: FastAPI, facts: ModelFacts, *, span: bool) -> None:
    """Add what a frozen server says of its model, and how it renders messages."""
    template = ChatTemplate(facts)
    props = facts.props(span=span)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/props")
    async def get_props() -> dict[str, Any]:
        return props

    @app.post("/apply-template")
    async def apply_template(request: Request) -> Response:
        body = await request.json()
        try:
            prompt = template.render(body["messages"], body.get("chat_template_kwargs", {}))
        except TemplateFailed as error:
            return _error(400, str(error))
        return JSONResponse({"prompt": prompt})


class _Answer(StreamingResponse):
    """The choices of a call as server-sent events; leaves the drawings it follows when it ends, however."""

    def __init__(self, sources: Sequence[Recorded | tuple[Drawing, int]], joined: Sequence[Drawing]) -> None:
        super().__init__(_events(sources), media_type="text/event-stream")
        self._joined = joined

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            # A drawing that breaks off breaks the answer off: no client takes it for whole.
            with contextlib.suppress(*BROKEN):
                await super().__call__(scope, receive, send)
        finally:
            await _leave(self._joined)


async def _events(sources: Sequence[Recorded | tuple[Drawing, int]]) -> AsyncIterator[str]:
    # One choice after another: the client puts chunks together by their index, in whatever order.
    for index, source in enumerate(sources):
        async for chunk in _chunks(source):
            yield f"data: {json.dumps(chunk | {'index': index})}\n\n"


async def _chunks(source: Recorded | tuple[Drawing, int]) -> Chunks:
    if isinstance(source, Recorded):
        for chunk in chunks_of(source):
            yield chunk
        return
    drawing, index = source
    async for chunk in drawing.follow(index):
        yield chunk


async def _leave(joined: Sequence[Drawing]) -> None:
    for drawing in joined:
        await drawing.leave()


def _call(body: dict[str, Any], model: str) -> Call:
    if not body.get("stream"):
        raise BadInput("completions are recorded as streams; ask with stream: true")
    return Call.of(body, model)


def _failed(error: Exception) -> Response:
    if isinstance(error, Refused):
        return Response(error.content, error.answered, media_type="application/json")
    return _error(503, f"the upstream llama-server fails: {error!r}"[:400])


def _error(status: int, message: str, kind: str = "server_error") -> JSONResponse:
    return JSONResponse({"error": {"code": status, "type": kind, "message": message[:400]}}, status)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(BadInput)
    async def bad_input(_: Request, error: BadInput) -> JSONResponse:
        return _error(400, str(error), "invalid_request_error")

    @app.exception_handler(InfrastructureError)
    async def broken(_: Request, error: InfrastructureError) -> JSONResponse:
        return _error(500, str(error))


_JSON = {"content-type": "application/json"}
