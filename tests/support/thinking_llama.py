"""A scripted llama-server of a thinking model: its template, its slots and what each has in cache."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from jinja2 import Environment

from atlas.policy import Policy
from tests.atlas.scripted_llama import Connection, Scripted, last, part, props

TEMPLATE = Path(__file__).with_name("thinking_template.jinja")
Model = Callable[[str, int], str]


def policy(**values: Any) -> Policy:
    """Return a policy whose candidates think first."""
    return Policy.model_validate({"name": "p", "thinking_tokens": 1024, "seed": 7, **values})


class ThinkingLlama:
    """Serves `model(prompt, seed)`: all that it would write after a prompt, to the end of its turn.

    A token is a word with the blanks before it. `n_cmpl` completions take as many slots of `context` tokens,
    the one asked for first, and leave their prompts and texts there. `completions` keeps the bodies of
    /completion.
    """

    def __init__(self, model: Model, template: str | None = None, *, context: int = 100_000) -> None:
        self.model, self.context = model, context
        self.template = TEMPLATE.read_text() if template is None else template
        self.slots = ["", "", "", ""]
        self.completions: list[dict[str, Any]] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve until the end of the context, at the URL it gives."""
        scripted = Scripted()
        scripted.script = self._answer
        listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
        async with listening:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"

    async def _answer(self, connection: Connection) -> None:
        body: dict[str, Any] = json.loads(connection.body) if connection.body else {}
        match connection.path:
            case "/props":
                await connection.answer(200, props(self.context) | {"model_alias": "thinker"})
            case "/tokenize":
                await connection.answer(200, {"tokens": _tokens(body["content"])})
            case "/apply-template":
                template = Environment(autoescape=False).from_string(self.template)
                values = {"messages": body["messages"], **body["chat_template_kwargs"]}
                prompt = template.render(add_generation_prompt=True, **values)
                await connection.answer(200, {"prompt": prompt})
            case "/completion":
                self.completions.append(body)
                await connection.begin()
                for index in range(body["n_cmpl"]):
                    await connection.send(*self._complete(body, index))
                await connection.end()
            case path:
                await connection.answer(404, {"error": {"message": path}})

    def _complete(self, body: dict[str, Any], index: int) -> list[dict[str, Any]]:
        text = self.model(body["prompt"], body["seed"] + index)
        ends = [(text.index(stop), stop) for stop in body.get("stop", ()) if stop in text]
        cut, word = min(ends, default=(len(text), ""))
        tokens = _tokens(text[:cut])
        room = min(body["n_predict"], self.context - len(_tokens(body["prompt"])))
        whole = len(tokens) + bool(word) <= room
        tokens = tokens[:room]
        spent = len(tokens) + (1 if whole and word else 0)  # the stop string is generated, and counted
        slot = index % len(self.slots)
        pairs = takewhile(
            lambda pair: pair[0] == pair[1], zip(self.slots[slot], body["prompt"], strict=False)
        )
        cached = len(_tokens("".join(one for one, _ in pairs)))
        self.slots[slot] = body["prompt"] + "".join(tokens)
        end = last(spent, index=index, slot=slot, cached=cached, stop="limit" if not whole else "eos")
        if whole and word:
            end |= {"stop_type": "word", "stopping_word": word}
        end["tokens_evaluated"] = len(_tokens(body["prompt"]))
        return [part("".join(tokens), len(tokens), index=index), end]


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+\Z", text)
