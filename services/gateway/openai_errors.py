"""Errors in OpenAI's form on the routes that speak OpenAI's language; problem+json everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse

from atlas.problem_json import problem

PATHS = ("/v1/chat/completions", "/v1/models")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def any_error(path: str, status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error in the form that a client of `path` understands."""
    if path in PATHS or path.startswith("/v1/models/"):
        answer = openai_error(status, detail)
    else:
        answer = problem(status, HTTPStatus(status).phrase, detail)
    answer.headers.update(headers or {})
    return answer


def openai_error(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> JSONResponse:
    """Return an error in OpenAI's form; `param` names the field of the body that is wrong."""
    return JSONResponse(openai_error_body(status, message, code=code, param=param), status_code=status)


def openai_error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Return the body of such an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}
