"""Errors in OpenAI's form on the routes that speak its language, so that its clients can show them.

Whoever refuses (a route, the guard, the limit on bodies) writes problem+json; here it is put into the other
form on its way out. Anything else passes as it comes, streams unbuffered.
"""

from __future__ import annotations

import json

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/v1/chat/completions", "/v1/models")
# Its clients ask again by themselves after a 409 or 5xx, unless they are told not to.
DO_NOT_RETRY = {"x-should-retry": "false"}

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found"}


class OpenAIErrors:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self.app(scope, receive, send)
            return
        held: list[Message] = []  # of a problem, until it is whole

        async def rewritten(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            if not held and not (is_start and _is_problem(message)):
                await send(message)
                return
            held.append(message)
            if not is_start and not message.get("more_body"):
                await _answer(held)(scope, receive, send)

        await self.app(scope, receive, rewritten)


def openai_error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> object:
    """Return the body of an error; `param` names the field of the request that is wrong."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == "application/problem+json"


def _answer(held: list[Message]) -> JSONResponse:
    start, *parts = held
    problem = json.loads(b"".join(part.get("body", b"") for part in parts))
    status = 400 if start["status"] == 422 else start["status"]
    message, param = problem["detail"], "model" if status == 404 else None
    if errors := problem.get("errors"):
        named = [(error["field"].removeprefix("body."), error["message"]) for error in errors]
        message, param = "; ".join(f"{field}: {text}" for field, text in named[:5]), named[0][0]
    answer = JSONResponse(openai_error(status, message, code=_CODES.get(status), param=param), status)
    kept = MutableHeaders(raw=list(start["headers"]))
    del kept["content-type"], kept["content-length"]
    answer.headers.update({**kept, **(DO_NOT_RETRY if status == 409 else {})})
    return answer
