"""A model server without a model, for measuring what is around one: answers of a given length, at once.

It speaks as much of llama-server's API as `atlas.llama.LlamaClient` uses. A program prints something that
depends on the seed, so candidates differ and nothing passes: every phase of a policy has its turn. What a
grammar asks for is filled in as its schema says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

CHARS_A_TOKEN = 4
CONTEXT = 1_000_000
FILLER = "the quick brown fox jumps over the lazy dog "


def scripted(tokens: int, slots: int) -> FastAPI:
    """Return the app; an answer has about so many tokens."""
    app = FastAPI()
    app.add_api_route("/health", lambda: {"status": "ok"})
    props = {
        "model_alias": "scripted",
        "default_generation_settings": {"n_ctx": CONTEXT},
        "total_slots": slots,
    }
    app.add_api_route("/props", lambda: props)

    @app.post("/apply-template")
    async def apply_template(request: Request) -> dict[str, str]:
        messages = (await request.json())["messages"]
        return {"prompt": "\n".join(f"<{each['role']}>{each['content']}" for each in messages)}

    @app.post("/completion")
    async def completion(request: Request) -> StreamingResponse:
        return StreamingResponse(_completion(await request.json(), tokens), media_type="text/event-stream")

    return app


def filled(schema: dict[str, Any], chars: int, root: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Return a value that a JSON schema allows, with texts of so many characters."""
    root = schema if root is None else root
    if "$ref" in schema:
        *_, name = schema["$ref"].split("/")
        return filled(root["$defs"][name], chars, root)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return filled(schema[several][0], chars, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        return {name: filled(each, chars, root) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [filled(schema.get("items", {}), chars, root)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return kind == "boolean" or _text(min(chars, schema.get("maxLength", chars)))


def _text(chars: int) -> str:
    return (FILLER * (chars // len(FILLER) + 1))[:chars]


def _answer(body: dict[str, Any], seed: int, chars: int) -> str:
    if schema := body.get("json_schema"):
        return json.dumps(filled(schema, 120))
    return f"```python\nprint({seed})\n# {_text(chars)}\n```"


def _completion(body: dict[str, Any], tokens: int) -> Iterator[str]:
    for index in range(body["n_cmpl"]):
        text = _answer(body, body["seed"] + index, tokens * CHARS_A_TOKEN)
        count = min(body["n_predict"], len(text) // CHARS_A_TOKEN)
        common = {
            "index": index,
            "id_slot": 0,
            "tokens_predicted": count,
            "tokens_evaluated": len(body["prompt"]) // CHARS_A_TOKEN,
        }
        probabilities = [{"logprob": -0.1}] * count
        yield _line(common | {"content": text, "stop": False, "completion_probabilities": probabilities})
        timings = {"cache_n": 0, "prompt_ms": 0.0, "predicted_ms": 0.0}
        yield _line(common | {"content": "", "stop": True, "stop_type": "eos", "timings": timings})


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
