"""Chat requests for the model itself: passed on as they are, answers passed back as they come."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from atlas.errors import ModelServerError
from atlas.openai_api import ChatRequest
from services.gateway.disconnects import until_gone

log = logging.getLogger(__name__)

IDLE_TIMEOUT_S = 600.0
CLIENT_GONE = 499
PATH = "/v1/chat/completions"


class PassThrough:
    """llama-server's own chat endpoint; `addresses` says where a conversation may go, best first."""

    def __init__(self, addresses: Callable[[str], tuple[str, ...]]) -> None:
        self._addresses = addresses
        timeout = httpx.Timeout(IDLE_TIMEOUT_S, connect=5.0)
        # No pool limit: every client that waits holds a connection, and llama-server queues them itself.
        limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def aclose(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def chat(self, request: Request, conversation: str) -> Response:
        """Return llama-server's answer, whatever it is; closes the call to it when the client goes.

        Raises:
            ModelServerError: there is no answer.
        """
        *others, last = self._addresses(conversation)
        for url in others:
            try:
                return await self._passed(request, url)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # it has heard nothing of the request
                log.warning("llama-server %s cannot be reached: %s", PATH, error)
            except httpx.HTTPError as error:
                raise _failed(error) from error
        try:
            return await self._passed(request, last)
        except httpx.HTTPError as error:
            raise _failed(error) from error

    async def _passed(self, request: Request, url: str) -> Response:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        call = self._http.build_request("POST", url + PATH, content=await request.body(), headers=headers)
        # A whole answer begins only when it is whole, so it is here that a client leaves.
        answer = await until_gone(request, self._http.send(call, stream=True))
        return Response(status_code=CLIENT_GONE) if answer is None else _Passed(answer)


def conversation(body: ChatRequest) -> str:
    """Return what every turn of a conversation has alike: its messages up to the first of the user."""
    told: list[str] = []
    for message in body.messages:
        told.append(message.model_dump_json())
        if message.role == "user":
            break
    return "\n".join(told)


def _failed(error: httpx.HTTPError) -> ModelServerError:
    return ModelServerError(f"llama-server {PATH} failed: {type(error).__name__}: {error}")


class _Passed(StreamingResponse):
    """An answer as it comes; the call is closed at its end, or when its client goes.

    One that breaks off is broken off too (the server closes a connection whose answer is not whole), so that
    no client takes it for whole.
    """

    def __init__(self, answer: httpx.Response) -> None:
        media_type = answer.headers.get("content-type")
        super().__init__(answer.aiter_raw(), status_code=answer.status_code, media_type=media_type)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        except httpx.HTTPError as error:
            log.warning("llama-server broke off an answer: %s: %s", type(error).__name__, error)
        finally:
            await self._answer.aclose()
