"""A model server that answers by script, as a process to be killed: `python -m tests.chaos.model_server`.

It speaks as much of llama-server's API as ATLAS uses. A prompt is the conversation's JSON, so that the
script can read it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.atlas import scripted_llama
from tests.atlas.scripted_llama import last, part
from tests.chaos.answers import answer
from tests.chaos.request_log import Writer, choice_names, content_key

MODEL = "scripted"


def create(log: Writer, tokens_per_second: float) -> FastAPI:
    """Return the app; each completion comes at this speed, however many there are at once."""
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/props")
    async def props() -> dict[str, Any]:
        return scripted_llama.props(context=1_000_000) | {"model_alias": MODEL}

    @app.post("/apply-template")
    async def apply_template(body: dict[str, Any]) -> dict[str, str]:
        return {"prompt": json.dumps(body["messages"])}

    @app.post("/completion")
    async def completion(body: dict[str, Any]) -> StreamingResponse:
        chunks = _completion(body, log, tokens_per_second)
        return StreamingResponse(chunks, media_type="text/event-stream")

    return app


async def _completion(body: dict[str, Any], log: Writer, tokens_per_second: float) -> AsyncIterator[str]:
    prompt, seed, n = body["prompt"], body["seed"], body["n_cmpl"]
    name = log.begin(content_key(prompt, seed, n), choice_names(prompt, seed, n))
    messages = json.loads(prompt)
    drawn = [
        re.findall(r"\S+\s*", answer(messages, seed + i, body.get("json_schema")))[: body["n_predict"]]
        for i in range(n)
    ]
    for position in range(max(map(len, drawn))):
        await asyncio.sleep(1 / tokens_per_second)
        for index, tokens in enumerate(drawn):
            if position < len(tokens):
                yield _line(part(tokens[position], position + 1, index=index))
    for index, tokens in enumerate(drawn):
        if index == n - 1:
            log.end(name)  # before the last chunk: whoever has that has the whole answer
        yield _line(last(len(tokens), index=index))


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.model_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="where requests are noted")
    parser.add_argument("--tokens-per-second", type=float, required=True)
    options = parser.parse_args()
    app = create(Writer(options.log), options.tokens_per_second)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
