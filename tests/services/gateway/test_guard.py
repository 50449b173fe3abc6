"""Who may come in: keys where the gateway is open to others, no strange web pages where it is not."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from atlas import api_keys
from atlas.api_keys import ApiKeys
from atlas.client import Gateway, KeyWanted
from atlas.config import Settings
from atlas.redis_client import connect
from services.gateway.app import create
from services.gateway.guard import is_loopback, key_required
from tests.support.gateway_bench import client_of, is_problem, served

PAGE = "/v1/policies"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture
def keys(store: Redis) -> ApiKeys:
    return ApiKeys(store)


@pytest.fixture
def app(redis_url: str, llama_address: str) -> FastAPI:
    """A gateway that is open to the network."""
    return create(Settings(redis_url=redis_url, llama_url=llama_address, host="0.0.0.0"))


@pytest.fixture
async def opened(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


@pytest.fixture
async def own(redis_url: str, llama_address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway on loopback."""
    app = create(Settings(redis_url=redis_url, llama_url=llama_address))
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every route of the app, the schema and its pages included."""
    pages = [("GET", path) for path in ("/docs", "/redoc", "/openapi.json", "/nowhere", "/healthz/")]
    for path, methods in app.openapi()["paths"].items():
        pages += [(method.upper(), path.replace("{", "").replace("}", "")) for method in methods]
    return pages


# ---------------------------------------------------------------- when a key is needed


@pytest.mark.parametrize(
    ("host", "server", "required"),
    [
        ("127.0.0.1", ("127.0.0.1", 8400), False),
        ("::1", ("::1", 8400), False),
        ("localhost", ("127.0.0.1", 8400), False),
        ("127.0.0.1", ("10.0.0.5", 8400), True),  # uvicorn --host of one's own
        ("127.0.0.1", ("fe80::1%eth0", 8400), True),
        ("0.0.0.0", ("127.0.0.1", 8400), True),
        ("::", ("::1", 8400), True),
        ("", ("127.0.0.1", 8400), True),
        ("gpu-box", ("127.0.0.1", 8400), True),
        ("0.0.0.0", ("/run/gateway.sock", None), False),
        ("127.0.0.1", None, True),
    ],
)
def test_a_key_is_needed_beyond_loopback(
    host: str, server: tuple[str, int | None] | None, required: bool
) -> None:
    assert key_required(host, server) is required


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]")),
        *((host, True) for host in ("::ffff:127.0.0.1", "::1%lo")),
        *(
            (host, False)
            for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.x")
        ),
        *((host, False) for host in ("::ffff:10.0.0.1", "127.1", "2130706433")),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# ---------------------------------------------------------------- with keys


async def test_every_route_but_health_needs_a_key(app: FastAPI, opened: httpx.AsyncClient) -> None:
    found = routes(app)
    assert len(found) > 15
    for method, path in found:
        answer = await opened.request(method, path, json={} if method == "POST" else None)
        if path in ("/healthz", "/readyz"):
            assert answer.status_code == 200, path
            continue
        assert answer.headers["www-authenticate"] == "Bearer", path
        if path.startswith(("/v1/models", "/v1/chat/completions")):
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert "atlas keys create" in answer.json()["error"]["message"]
        else:
            is_problem(answer, 401, "atlas keys create NAME", "Authorization: Bearer KEY")


async def test_a_key_opens_every_route_until_it_is_revoked_or_expires(
    app: FastAPI, opened: httpx.AsyncClient, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, info = await keys.create("laptop")
    short, about = await keys.create("guest", lifetime_s=3600)
    for method, path in routes(app):
        answer = await opened.request(method, path, headers=bearer(key))
        assert answer.status_code not in (401, 403), path
    for one in (bearer(key), bearer(short), {"Authorization": f"bearer  {key}"}):
        assert (await opened.get(PAGE, headers=one)).status_code == 200
    await keys.revoke("laptop")
    refused = await opened.get(PAGE, headers=bearer(key))
    is_problem(refused, 401, "not valid", "atlas keys create")
    assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    monkeypatch.setattr(api_keys.time, "time", lambda: about.created_at + 3601)
    is_problem(await opened.get(PAGE, headers=bearer(short)), 401, "expired")
    assert info.id not in refused.text


@pytest.mark.parametrize("value", ["", "Bearer", "Basic {key}", "{key}", "Bearer {key}x", "Bearer \xe9"])
async def test_what_is_no_key_does_not_open(opened: httpx.AsyncClient, keys: ApiKeys, value: str) -> None:
    key, _ = await keys.create("laptop")
    headers = {"Authorization": value.format(key=key).encode("latin-1")}
    is_problem(await opened.get(PAGE, headers=headers), 401)


async def test_a_server_started_by_hand_on_another_address_needs_a_key(
    redis_url: str, llama_address: str, keys: ApiKeys
) -> None:
    app = create(Settings(redis_url=redis_url, llama_url=llama_address))  # HOST says loopback
    key, _ = await keys.create("laptop")
    async with client_of(app, "http://10.0.0.5:8400") as client:
        is_problem(await client.get(PAGE), 401)
        assert (await client.get(PAGE, headers=bearer(key))).status_code == 200


async def test_a_unix_socket_needs_no_key(app: FastAPI, tmp_path: Path) -> None:
    path = str(tmp_path / "g.sock")
    async with served(app, uds=path):
        transport = httpx.AsyncHTTPTransport(uds=path)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            assert (await client.get(PAGE)).status_code == 200


async def test_readiness_tells_strangers_no_addresses(
    redis_url: str, unused_tcp_port: int, keys: ApiKeys
) -> None:
    llama = f"http://127.0.0.1:{unused_tcp_port}"
    key, _ = await keys.create("laptop")
    app = create(Settings(redis_url=redis_url, llama_url=llama, host="0.0.0.0"))
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        for headers in ({}, bearer("atlas_wrong")):
            answer = await client.get("/readyz", headers=headers)
            assert (answer.status_code, answer.json()) == (503, {"status": "unready", "service": "gateway"})
        known = await client.get("/readyz", headers=bearer(key))
        assert (known.status_code, list(known.json()["problems"])) == (503, ["llama-server"])
        assert str(unused_tcp_port) in known.text


async def test_without_redis_nobody_comes_in_and_nobody_is_called_a_stranger(
    unused_tcp_port: int, llama_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    redis_url = f"redis://127.0.0.1:{unused_tcp_port}"
    app = create(Settings(redis_url=redis_url, llama_url=llama_address, host="0.0.0.0"))
    key = "atlas_0123456789abcdef"
    async with client_of(app, "http://10.0.0.5:8400") as client:
        app.state.runtime._journal.redis.connection_pool.connection_kwargs["retry"]._retries = 0
        is_problem(await client.get(PAGE, headers=bearer(key)), 503, "try again")
        is_problem(await client.get(PAGE), 401)
        answer = await client.get("/readyz", headers=bearer(key))
        assert (answer.status_code, answer.json()) == (503, {"status": "unready", "service": "gateway"})
        assert (await client.get("/healthz")).status_code == 200
    assert "cannot be checked" in caplog.text
    assert key not in caplog.text


async def test_keys_are_never_logged(
    opened: httpx.AsyncClient, keys: ApiKeys, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = await keys.create("laptop")
    with caplog.at_level(logging.DEBUG):
        await opened.get(PAGE, headers=bearer(key))
        await opened.get(PAGE, headers=bearer("atlas_wrong"))
    for line in caplog.messages:
        if (
            "hpack" not in line and "send_request_headers" not in line
        ):  # the test's own client tells what it sends
            assert key not in line
            assert "atlas_wrong" not in line


async def test_our_own_client_shows_its_key(app: FastAPI, keys: ApiKeys) -> None:
    key, _ = await keys.create("laptop")
    async with served(app) as url:
        async with Gateway(url, api_key=key, patience_s=5) as client:
            assert (await client.readiness()).state == "ready"
            assert await client.policies()
        async with Gateway(url, patience_s=5) as client:
            assert (await client.readiness()).state == "ready"
            with pytest.raises(KeyWanted, match="ATLAS_API_KEY"):
                await client.policies()


# ---------------------------------------------------------------- without keys


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8400", "localhost", "LocalHost:80", "[::1]:8400"])
async def test_this_machine_comes_in_by_any_of_its_names(own: httpx.AsyncClient, host: str) -> None:
    assert (await own.get(PAGE, headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8400"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_strange_web_page_is_refused(own: httpx.AsyncClient, headers: dict[str, Any]) -> None:
    for method, path in (
        ("GET", PAGE),
        ("POST", "/v1/tasks"),
        ("GET", "/readyz"),
        ("DELETE", "/v1/dead-letters/1-0"),
    ):
        is_problem(await own.request(method, path, headers=headers), 403, "its own machine only", "set HOST")
    assert (await own.post("/v1/chat/completions", headers=headers)).json()["error"][
        "type"
    ] == "permission_error"


async def test_a_page_of_this_machine_is_served(own: httpx.AsyncClient) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:8400"):
        assert (await own.get(PAGE, headers={"Origin": origin})).status_code == 200
