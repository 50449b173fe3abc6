"""Who may come in: API keys where the gateway is open to others, and no strange web pages where it is not.

A key is asked for when HOST is not a loopback address, or when a connection came in by one that is not
(someone ran uvicorn with an address of their own). Without keys only this machine's own programs should get
in, so a browser that was talked into asking for some page (DNS rebinding, cross-site requests) is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.problem_json import problem
from atlas.service import STRANGER
from services.gateway.state import State

log = logging.getLogger(__name__)

OPEN_PATHS = ("/healthz", "/readyz")
PROBE_S = 3.0
ADVICE = (
    "make one with `atlas keys create NAME` on the gateway's machine and send `Authorization: Bearer KEY`"
)
WRONG_KEY = f"this API key is not valid (not one of this gateway's, revoked or expired); {ADVICE}"


class Guard:
    """ASGI middleware; sets `STRANGER` in the scope of an open path's request without a valid key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and (refusal := await self._refusal(scope)):
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        gateway: State = scope["app"].state.gateway
        headers = Headers(scope=scope)
        if not key_required(gateway.runtime.settings.host, scope.get("server")):
            return None if scope["server"][1] is None else _foreign_page(headers)
        key = _bearer(headers)
        if scope["path"] in OPEN_PATHS:
            scope[STRANGER] = key is None or not await _valid_soon(gateway, key)
            return None
        if key is None:
            return _unauthorized(f"an API key is needed: {ADVICE}", "Bearer")
        try:
            valid = await gateway.keys.valid(key)
        except RedisError as error:
            log.error("API keys cannot be checked: %s", type(error).__name__)
            return problem(
                503, "Infrastructure failure", "API keys cannot be checked just now; try again shortly"
            )
        return None if valid else _unauthorized(WRONG_KEY, 'Bearer error="invalid_token"')


def key_required(host: str, server: tuple[str, int | None] | None) -> bool:
    """Whether a request needs a key: `host` is the HOST setting, `server` the address it came in by.

    A unix socket (ASGI: a path without a port) needs none, its file's permissions guard it.
    """
    if server is None:
        return True
    address, port = server
    return port is not None and not (is_loopback(host) and is_loopback(address))


def is_loopback(host: str) -> bool:
    """Whether a host name or address without a port can only mean this machine."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _unauthorized(detail: str, challenge: str) -> JSONResponse:
    answer = problem(401, "Unauthorized", detail)
    answer.headers["WWW-Authenticate"] = challenge
    return answer


def _foreign_page(headers: Headers) -> JSONResponse | None:
    host, origin = headers.get("host"), headers.get("origin")
    if host is not None and not is_loopback(_name(f"//{host}")):
        detail = f"this gateway is open to its own machine only and does not answer as {host[:100]!r}"
    elif origin is not None and not is_loopback(_name(origin)):
        detail = f"this gateway is open to its own machine only and serves no page of {origin[:100]!r}"
    else:
        return None
    return problem(403, "Forbidden", f"{detail}; to serve others, set HOST and hand out keys (`atlas keys`)")


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _bearer(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


async def _valid_soon(gateway: State, key: str) -> bool:
    """Whether the key is valid; False if that cannot be told before a probe loses its patience."""
    try:
        return await asyncio.wait_for(gateway.keys.valid(key), PROBE_S)
    except (RedisError, asyncio.TimeoutError):
        return False
