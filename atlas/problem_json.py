"""Errors over HTTP: problem+json (RFC 9457) that says what to mend and leaks nothing; a limit on bodies."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.errors import AtlasError

MAX_BODY_BYTES = 4_000_000


def add_errors(app: FastAPI, max_body_bytes: int = MAX_BODY_BYTES) -> None:
    """Answer every error as problem+json (RFC 9457) that says what to mend and leaks nothing."""

    @app.exception_handler(AtlasError)
    async def atlas_error(_: Request, error: AtlasError) -> JSONResponse:
        return problem(error.status, error.title, str(error))

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [
            {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in found[:5])
        return problem(422, "Bad input", detail, errors=found)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        answer = problem(error.status_code, HTTPStatus(error.status_code).phrase, error.detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> JSONResponse:  # the server logs it
        return problem(500, "Internal error", "this is a bug; the service's log has the details")

    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)


class BodyLimit:
    """Refuses a body over `max_bytes` with 413, whether its length was announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detail = f"send at most {self.max_bytes:,} bytes"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > self.max_bytes:
            await problem(413, "Body too large", detail)(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.max_bytes:
                raise HTTPException(413, detail)
            return message

        await self.app(scope, limited, send)


def problem(status: int, title: str, detail: str, **more: object) -> JSONResponse:
    """Return a problem+json answer."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
