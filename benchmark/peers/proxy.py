"""Counts and cuts what a peer has the model generate: an OpenAI chat route in front of llama-server.

A task in flight has an address of its own here (`metered`), so every call is counted for the task that made
it, whatever the peer sends. Of the API there is what the peers use: POST chat/completions, several choices,
no streaming. Each call is cut to what is left of the task's budget, and refused (403) when nothing is.

llama-server's `usage` counts one choice of several (DESIGN.md), so each is counted here: one that was cut has
the tokens it was cut to; any other is tokenised, plus the token that ended it. The answer's `usage` is then
put right.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from atlas.embedded.apps import SignalFreeServer
from atlas.errors import BudgetSpent, StartupError
from benchmark.peers.ledger import Completion, Ledger, PeerCall

CHAT = "/v1/chat/completions"
MOST_CHOICES = 64
POLL_S = 0.01
JsonObject = dict[str, Any]


class _Refused(Exception):
    """A call that the peer got wrong, as the API answers it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Away(Exception):
    """The model server failed a call: nobody's answer was wrong."""


@dataclass
class _Account:
    ledger: Ledger
    seed: int
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: set[asyncio.Task[JsonObject]] = field(default_factory=set)


class MeteringProxy:
    """An async context manager that serves on a free port of 127.0.0.1.

    Args:
        upstream: URL of a llama-server.
        timeout_s: the longest a call may take.
        transport: instead of a connection to it; for tests.
    """

    def __init__(
        self, upstream: str, *, timeout_s: float = 3600.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=upstream,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            limits=httpx.Limits(max_keepalive_connections=0),  # llama-server closes them without a word
            trust_env=False,
            transport=transport,
        )
        self._accounts: dict[str, _Account] = {}
        self._server: SignalFreeServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._url = ""
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/{key}" + CHAT, self._chat, methods=["POST"])

    async def __aenter__(self) -> MeteringProxy:
        """Begin to serve.

        Raises:
            StartupError: it cannot.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self.app, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = SignalFreeServer(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._serving.done():
                raise StartupError(f"the proxy at {self._url} did not start")
            await asyncio.sleep(POLL_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = self._server.force_exit = True
            await self._serving
        await self._http.aclose()

    @asynccontextmanager
    async def metered(self, ledger: Ledger, seed: int) -> AsyncIterator[str]:
        """Give the base URL (".../v1") whose calls are counted in `ledger`; those still running end with it.

        Call number i is made with the seed `seed + i` unless the peer chose one.
        """
        key = secrets.token_urlsafe(12)
        account = self._accounts[key] = _Account(ledger, seed)
        try:
            yield f"{self._url}/{key}/v1"
        finally:
            del self._accounts[key]
            for task in account.running:
                task.cancel()
            await asyncio.gather(*account.running, return_exceptions=True)

    async def _chat(self, key: str, request: Request) -> JSONResponse:
        account = self._accounts.get(key)
        if account is None:
            return _error(404, "no_such_task", "no task in flight has this address")
        task = asyncio.create_task(self._metered_call(account, await request.body()))
        account.running.add(task)
        try:
            return JSONResponse(await task)
        except _Refused as error:
            return _error(error.status, error.code, str(error))
        except BudgetSpent as error:
            return _error(403, "token_budget_spent", str(error))
        except _Away as error:
            account.ledger.trouble = account.ledger.trouble or str(error)
            return _error(502, "model_server_failed", str(error))
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # this server is being stopped
            return _error(410, "task_ended", "the task of this address has ended")
        finally:
            account.running.discard(task)

    async def _metered_call(self, account: _Account, body: bytes) -> JsonObject:
        async with account.turn:  # one by one: what is left is known before the next is cut to it
            ledger = account.ledger
            asked, n, wanted = _read(body)
            granted = ledger.grant(n, wanted)
            sent = asked | {"n": n, "max_tokens": granted, "stream": False}
            sent.setdefault("seed", account.seed + len(ledger.calls))
            # As ATLAS asks (a policy says by itself how long a model may think).
            sent.setdefault("chat_template_kwargs", {"enable_thinking": False})
            began = time.monotonic()
            answer = await self._post(CHAT, sent)
            try:
                completions = [await self._count(choice, granted) for choice in answer["choices"]]
                usage = answer["usage"]
                tokens_in = int(usage["prompt_tokens"])
                cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))
            except (LookupError, TypeError, ValueError) as error:
                raise _Away(f"llama-server {CHAT} answers what it should not: {error!r}") from error
            call = PeerCall(
                max_tokens=granted,
                tokens_in=tokens_in,
                tokens_cached=cached,
                seconds=round(time.monotonic() - began, 3),
                completions=tuple(completions),
            )
            ledger.calls.append(call)
            tokens = sum(completion.tokens for completion in completions)
            totals = {"completion_tokens": tokens, "total_tokens": tokens_in + tokens}
            return answer | {"usage": usage | totals}

    async def _count(self, choice: JsonObject, granted: int) -> Completion:
        message = choice["message"]
        text, finish = message.get("content") or "", str(choice["finish_reason"])
        thought = message.get("reasoning_content") or ""
        if finish == "length":
            return Completion(text=text, finish=finish, tokens=granted)
        said = await self._post("/tokenize", {"content": thought + text})
        return Completion(text=text, finish=finish, tokens=min(granted, len(said["tokens"]) + 1))

    async def _post(self, path: str, body: JsonObject) -> JsonObject:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise _Away(f"llama-server {path} failed: {type(error).__name__}: {error}") from error
        if answer.status_code >= 500:
            raise _Away(f"llama-server {path} answers {answer.status_code}: {answer.text[:300]}")
        if answer.status_code != 200:
            raise _Refused(answer.status_code, "refused", answer.text[:300])
        try:
            parsed = answer.json()
        except ValueError as error:
            raise _Away(f"llama-server {path} answers no JSON") from error
        if not isinstance(parsed, dict):
            raise _Away(f"llama-server {path} answers no JSON object")
        return parsed


def _read(body: bytes) -> tuple[JsonObject, int, int | None]:
    """Return a request, how many choices it asks for, and how many tokens each, if it says."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise _Refused(400, "bad_request", f"not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise _Refused(400, "bad_request", "not a JSON object")
    if asked.get("stream"):
        raise _Refused(400, "no_streaming", "answers are counted whole: ask without `stream`")
    n = asked.get("n")
    n = 1 if n is None else n
    wanted = asked.pop("max_completion_tokens", None) or asked.get("max_tokens")
    for name, value, most in (("n", n, MOST_CHOICES), ("max_tokens", wanted, None)):
        if value is not None and (type(value) is not int or value < 1 or (most and value > most)):
            raise _Refused(400, "bad_request", f"{name} is {value!r}: a whole number from 1")
    return asked, n, wanted


def _error(status: int, code: str, message: str) -> JSONResponse:
    """Return an error in OpenAI's form."""
    return JSONResponse({"error": {"message": message, "type": code, "code": code}}, status)
