"""What is asked of the sandbox executor, and what it answers: programs and inputs in, outputs out.

An expected output has no field here: comparison happens in the asker's process (`atlas.judge`).
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Literal, Protocol

import httpx
from pydantic import Field, ValidationError, model_validator

from atlas.contracts import MAX_CODE_CHARS, Contract, Limits
from atlas.errors import ExecutorError

RETRY_DELAYS_S = (0.1, 0.4, 1.5)
CONNECT_S = 5.0
QUEUE_S = 120.0
_JSON = {"content-type": "application/json"}


class RunStatus(str, Enum):
    """How a run ended, before anyone compared its output with anything."""

    OK = "ok"
    RUNTIME_ERROR = "runtime_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    COMPILE_ERROR = "compile_error"
    FORBIDDEN = "forbidden"
    INFRASTRUCTURE_ERROR = "infrastructure_error"


class ExecuteRequest(Contract):
    """One program on many inputs: what the executor is asked. It never sees an expected output."""

    code: str = Field(max_length=MAX_CODE_CHARS)
    kind: Literal["stdin", "function"] = "stdin"
    entry_point: str | None = None
    inputs: tuple[str, ...] = Field(min_length=1, max_length=1000)
    limits: Limits = Limits()
    stop_on_error: bool = False

    @model_validator(mode="after")
    def _function_has_entry_point(self) -> ExecuteRequest:
        if self.kind == "function" and not self.entry_point:
            raise ValueError("a 'function' program needs entry_point: the name of the function to call")
        return self


class Run(Contract):
    """One run: `output` is stdout (`stdin` kind) or the returned value's JSON (`function` kind)."""

    status: RunStatus
    output: str = ""
    error: str = Field(default="", description="last line of the traceback, or the reason")
    cpu_s: float = Field(default=0.0, ge=0)
    wall_s: float = Field(default=0.0, ge=0)
    memory_mb: float = Field(default=0.0, ge=0)


class ExecuteResponse(Contract):
    """The runs in the order of the inputs; fewer only if `stop_on_error` stopped them."""

    runs: tuple[Run, ...]
    isolation: str


class Executor(Protocol):
    """Whatever carries out runs: the client below, or `atlas.executor_fake.FakeExecutor`."""

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs."""
        ...


class ExecutorClient:
    """Asks a sandbox executor over HTTP.

    Args:
        url: `http://host:port`, or `unix:/path/to/socket`.
        transport: in place of the network, for tests.

    A run has no effect outside itself, so whatever fails on the way is simply asked again.
    """

    def __init__(self, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url
        if url.startswith("unix:"):
            transport = transport or httpx.AsyncHTTPTransport(uds=url[len("unix:") :])
            url = "http://executor"
        self._http = httpx.AsyncClient(base_url=url, transport=transport, trust_env=False)

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs.

        Raises:
            ExecutorError: the executor cannot be reached, refused the request, or answered nonsense.
        """
        # Every run may go to its wall-clock limit, one after the other, behind other people's runs.
        budget = QUEUE_S + len(request.inputs) * (2 * request.limits.time_s + 3)
        timeout = httpx.Timeout(CONNECT_S, read=budget, write=budget)
        body = request.model_dump_json().encode()
        for delay in (*RETRY_DELAYS_S, None):
            if self._http.is_closed:  # by someone who saw that the executor is dead, while we waited
                raise ExecutorError(f"the client of executor {self.url} has been closed")
            try:
                response = await self._http.post("/v1/execute", content=body, headers=_JSON, timeout=timeout)
            except httpx.TimeoutException as error:
                raise ExecutorError(f"executor {self.url} did not answer: {error!r}") from error
            except httpx.TransportError as error:
                if delay is None:
                    raise ExecutorError(f"cannot reach executor {self.url}: {error!r}") from error
            else:
                if response.status_code < 500 or delay is None:
                    return self._read(response)
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _read(self, response: httpx.Response) -> ExecuteResponse:
        if response.status_code != httpx.codes.OK:
            said = f"HTTP {response.status_code}: {response.text[:1000]}"
            retryable = response.status_code >= 500
            raise ExecutorError(f"executor {self.url} refused the request: {said}", retryable=retryable)
        try:
            return ExecuteResponse.model_validate_json(response.content)
        except ValidationError as error:
            raise ExecutorError(f"executor {self.url} answered something else: {error}") from error

    async def ready(self) -> str | None:
        """None when the executor takes programs, else what is wrong (a readiness check)."""
        try:
            response = await self._http.get("/readyz", timeout=CONNECT_S)
        except httpx.TransportError as error:
            return f"cannot reach executor {self.url}: {error!r}"
        return None if response.status_code == httpx.codes.OK else f"HTTP {response.status_code}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> ExecutorClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
