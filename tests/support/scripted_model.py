"""A model server that answers by script, served in the test's event loop; its template can be rendered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse

from tests.atlas import scripted_llama
from tests.atlas.scripted_llama import last, part

TEMPLATE = "{{ messages | tojson }}"
TOKEN = re.compile(r"\s*\S+|\s+\Z")


@dataclass
class ScriptedModel:
    """Says `answer(prompt, seed, schema)`, a word with the blanks before it a token.

    `bodies` are the calls it was sent. Tokens come once `go` is set. `refuse` answers calls with a status.
    """

    answer: Callable[[str, int, Any], str]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    refuse: int | None = None
    context: int = 100_000

    def app(self) -> FastAPI:
        """Return the app to serve."""
        app = FastAPI()

        @app.get("/health")
        async def health() -> dict[str, str]:
            return {"status": "ok"}

        @app.get("/props")
        async def props() -> dict[str, Any]:
            facts = {"model_alias": "scripted", "chat_template": TEMPLATE, "build_info": "b1"}
            return scripted_llama.props(context=self.context) | facts

        @app.post("/apply-template")
        async def apply_template(body: dict[str, Any]) -> dict[str, str]:
            return {"prompt": json.dumps(body["messages"])}

        @app.post("/tokenize")
        async def tokenize(body: dict[str, Any]) -> dict[str, list[int]]:
            return {"tokens": [1] * 35}

        @app.post("/completion", response_model=None)
        async def completion(body: dict[str, Any]) -> StreamingResponse | JSONResponse:
            self.bodies.append(body)
            if self.refuse is not None:
                return JSONResponse({"error": {"code": self.refuse, "message": "no"}}, self.refuse)
            return StreamingResponse(self._stream(body), media_type="text/event-stream")

        return app

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[str]:
        whole = False
        try:
            for index in range(body["n_cmpl"]):
                text = self.answer(body["prompt"], body["seed"] + index, body.get("json_schema"))
                tokens = TOKEN.findall(text)
                kept = tokens[: body["n_predict"]]
                for position, token in enumerate(kept):
                    if position:
                        await self.go.wait()
                    yield _line(part(token, position + 1, index=index, logprob=-0.1 - position / 100))
                stop = "eos" if len(kept) == len(tokens) else "limit"
                yield _line(last(len(kept), index=index, stop=stop))
            whole = True
        finally:
            if not whole:
                self.left.set()


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
