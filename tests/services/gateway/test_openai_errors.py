"""Errors in the form that OpenAI's clients show, wherever they come from; all else as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from atlas.errors import Conflict, ModelServerError
from atlas.problem_json import MAX_BODY_BYTES, add_errors
from services.gateway.openai_errors import OpenAIErrors

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def failing() -> AsyncIterator[httpx.AsyncClient]:
    """A small app that fails in several ways."""
    app = FastAPI()
    add_errors(app)
    app.add_middleware(OpenAIErrors)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"detail": "in ', b"pieces", b'"}'):
            yield piece

    @app.get(CHAT + "/conflict")
    @app.get("/v1/tasks/conflict")
    async def conflict() -> None:
        raise Conflict("use a new key")

    @app.get(CHAT + "/away")
    async def away() -> None:
        raise ModelServerError("llama-server is away")

    @app.get(CHAT + "/pieces")
    async def in_pieces() -> StreamingResponse:
        return StreamingResponse(pieces(), 503, {"retry-after": "3"}, "application/problem+json")

    @app.get(CHAT + "/passed")
    async def passed() -> StreamingResponse:
        return StreamingResponse(pieces(), 400, media_type="application/json")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        yield client


async def test_the_form_is_openais_on_its_routes_only(failing: httpx.AsyncClient) -> None:
    answer = await failing.get(CHAT + "/conflict")
    assert answer.status_code == 409
    assert answer.json() == {
        "error": {"message": "use a new key", "type": "invalid_request_error", "code": None, "param": None}
    }
    assert (await failing.get("/v1/tasks/conflict")).json()["detail"] == "use a new key"


async def test_its_clients_are_told_whether_asking_again_helps(failing: httpx.AsyncClient) -> None:
    assert (await failing.get(CHAT + "/conflict")).headers["x-should-retry"] == "false"
    away = await failing.get(CHAT + "/away")
    assert (away.status_code, away.json()["error"]["type"]) == (503, "server_error")
    assert "x-should-retry" not in away.headers, "they do, unless they are told not to"


async def test_a_problem_in_pieces_is_put_together_and_keeps_its_headers(failing: httpx.AsyncClient) -> None:
    answer = await failing.get(CHAT + "/pieces")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json()["error"]["message"] == "in pieces"
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_an_error_that_is_no_problem_passes_as_it_is(failing: httpx.AsyncClient) -> None:
    answer = await failing.get(CHAT + "/passed")
    assert (answer.status_code, answer.json()) == (400, {"detail": "in pieces"})


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "valid dictionary"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', 400, "model: Field required"),
        (b'{"model": "smol", "messages": []}', 400, "messages: "),
        (b'{"model": "smol", "messages": "x"}', 400, "messages: "),
        (b'{"x": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, f"{MAX_BODY_BYTES:,}"),
    ],
)
async def test_a_body_that_is_no_chat_is_refused(
    gateway: httpx.AsyncClient, content: bytes, status: int, told: str
) -> None:
    answer = await gateway.post(CHAT, content=content, headers=JSON)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert told in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_another_method_is_refused_with_those_there_are(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get(CHAT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["message"] == "Method Not Allowed"
