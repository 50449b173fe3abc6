"""What is asked of the sandbox executor, and what it answers: programs and inputs in, outputs out.

A program's run has no field for an expected output: comparison happens outside it (`atlas.judge`), in the
asker's process, or in the executor's for whoever sends a `JudgeRequest`.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Annotated, Literal, Protocol, TypeVar

import httpx
from pydantic import AfterValidator, Field, ValidationError, model_validator

from atlas.checkers import Checker
from atlas.contracts import Contract, Example, Limits
from atlas.errors import ExecutorError

MAX_PROGRAM_CHARS = 1_000_000
MAX_INPUTS = 1_000
MAX_INPUT_BYTES = 32_000_000
MAX_BODY_BYTES = 128_000_000
MAX_PROGRAMS = 64
MAX_RUNS = 4_096
# All outputs of one request are held in memory at once.
MAX_OUTPUTS_KB = 1_024_000

RETRY_DELAYS_S = (0.1, 0.4, 1.5)
CONNECT_S = 5.0
QUEUE_S = 120.0
# The longest an honest run may take, in its wall limits: it may wait for a core four times as long as it may
# run, and a run that the host disturbed is made twice.
WORST_RUN_WALLS = 10
_JSON = {"content-type": "application/json"}


def _input_fits(text: str) -> str:
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_INPUT_BYTES:
        raise ValueError(f"one input has at most {MAX_INPUT_BYTES:,} bytes, this one has {size:,}")
    return text


Code = Annotated[str, Field(max_length=MAX_PROGRAM_CHARS)]
Input = Annotated[str, AfterValidator(_input_fits)]


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


class HowToRun(Contract):
    """What every request says: the language, how input reaches the program, and its limits."""

    language: Literal["python"] = "python"
    kind: Literal["stdin", "function"] = "stdin"
    entry_point: str | None = Field(default=None, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _function_has_entry_point(self) -> HowToRun:
        if self.kind == "function" and not self.entry_point:
            raise ValueError("a 'function' program needs entry_point: the name of the function to call")
        return self


class ExecuteRequest(HowToRun):
    """One program on many inputs."""

    code: Code
    inputs: tuple[Input, ...] = Field(min_length=1, max_length=MAX_INPUTS)
    stop_on_error: bool = False

    @model_validator(mode="after")
    def _outputs_fit(self) -> ExecuteRequest:
        _check_outputs(len(self.inputs), self.limits)
        return self


class ExecuteManyRequest(HowToRun):
    """Many programs on the same inputs, to see which of them agree."""

    programs: tuple[Code, ...] = Field(min_length=1, max_length=MAX_PROGRAMS)
    inputs: tuple[Input, ...] = Field(min_length=1, max_length=MAX_INPUTS)

    @model_validator(mode="after")
    def _runs_fit(self) -> ExecuteManyRequest:
        runs = len(self.programs) * len(self.inputs)
        if runs > MAX_RUNS:
            raise ValueError(
                f"{len(self.programs)} programs on {len(self.inputs)} inputs are {runs:,} runs; "
                f"one request has at most {MAX_RUNS:,}: send fewer programs or inputs at once"
            )
        _check_outputs(runs, self.limits)
        return self

    def one(self, index: int) -> ExecuteRequest:
        """The request for one of the programs alone."""
        return ExecuteRequest(
            language=self.language,
            kind=self.kind,
            entry_point=self.entry_point,
            limits=self.limits,
            code=self.programs[index],
            inputs=self.inputs,
        )


class JudgeTest(Contract):
    """An input and the output expected for it, which the program never sees."""

    input: Input
    output: Input


class JudgeRequest(HowToRun):
    """One program and the tests it must pass; answered by an `atlas.contracts.Execution`."""

    code: Code
    tests: tuple[JudgeTest, ...] = Field(min_length=1, max_length=MAX_INPUTS)
    checker: Checker = "official"
    stop_on_failure: bool = False

    def examples(self) -> tuple[Example, ...]:
        """The tests as the judge takes them."""
        return tuple(Example(input=test.input, output=test.output) for test in self.tests)


class Run(Contract):
    """One run: `output` is stdout (`stdin` kind) or the returned value's JSON (`function` kind).

    A function that returned something JSON has no word for is `ok` with no output; `error` says what.
    """

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


class ExecuteManyResponse(Contract):
    """For each program, in order, its runs in the order of the inputs."""

    runs: tuple[tuple[Run, ...], ...]
    isolation: str


class Executor(Protocol):
    """Whatever carries out runs: the client below, or `atlas.executor_fake.FakeExecutor`."""

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs."""
        ...


def outputs_that_fit(limits: Limits) -> int:
    """How many runs with these limits one request may ask for, at least one."""
    return max(1, MAX_OUTPUTS_KB // limits.output_kb)


def longest_s(runs: int, limits: Limits) -> float:
    """Seconds after which an executor that has not answered a request of so many runs never will.

    The worst case: every run goes to its wall limit, one after the other, behind other people's runs.
    """
    wall_s = 2 * limits.time_s + 2
    # One more run: a program with several inputs is compiled in a run of its own.
    return QUEUE_S + (runs + 1) * WORST_RUN_WALLS * wall_s


def _check_outputs(runs: int, limits: Limits) -> None:
    most = outputs_that_fit(limits)
    if runs > most:
        raise ValueError(
            f"{runs:,} runs with outputs of up to {limits.output_kb:,} kB are too much for one answer; "
            f"send at most {most:,} runs, or a lower limits.output_kb"
        )


Answer = TypeVar("Answer", bound=Contract)


class ExecutorClient:
    """Asks a sandbox executor over HTTP.

    Args:
        url: `http://host:port`, or `unix:/path/to/socket`.
        transport: in place of the network, for tests.

    A run has no effect outside itself, so whatever fails on the way is simply asked again.

    Attributes:
        isolation: the level that the executor named when it was last asked whether it is ready; "" before.
    """

    def __init__(self, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url
        self.isolation = ""
        if url.startswith("unix:"):
            transport = transport or httpx.AsyncHTTPTransport(uds=url[len("unix:") :])
            url = "http://executor"
        self._http = httpx.AsyncClient(base_url=url, transport=transport, trust_env=False)

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs.

        Raises:
            ExecutorError: the executor cannot be reached, refused the request, or answered nonsense.
        """
        budget = longest_s(len(request.inputs), request.limits)
        return await self._ask("/v1/execute", request, ExecuteResponse, budget)

    async def execute_many(self, request: ExecuteManyRequest) -> ExecuteManyResponse:
        """Run many programs on the same inputs.

        Raises:
            ExecutorError: as `execute`.
        """
        # Each program is also compiled in a run of its own.
        budget = longest_s(len(request.programs) * (len(request.inputs) + 1), request.limits)
        return await self._ask("/v1/execute-many", request, ExecuteManyResponse, budget)

    async def _ask(self, path: str, request: Contract, answer: type[Answer], budget_s: float) -> Answer:
        timeout = httpx.Timeout(CONNECT_S, read=budget_s, write=budget_s)
        body = request.model_dump_json().encode()
        for delay in (*RETRY_DELAYS_S, None):
            if self._http.is_closed:  # by someone who saw that the executor is dead, while we waited
                raise ExecutorError(f"the client of executor {self.url} has been closed")
            try:
                response = await self._http.post(path, content=body, headers=_JSON, timeout=timeout)
            except httpx.TimeoutException as error:
                raise ExecutorError(f"executor {self.url} did not answer: {error!r}") from error
            except httpx.TransportError as error:
                if delay is None:
                    raise ExecutorError(f"cannot reach executor {self.url}: {error!r}") from error
            else:
                if response.status_code < 500 or delay is None:
                    return self._read(response, answer)
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _read(self, response: httpx.Response, answer: type[Answer]) -> Answer:
        if response.status_code != httpx.codes.OK:
            said = f"HTTP {response.status_code}: {response.text[:1000]}"
            retryable = response.status_code >= 500
            raise ExecutorError(f"executor {self.url} refused the request: {said}", retryable=retryable)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise ExecutorError(f"executor {self.url} answered something else: {error}") from error

    async def ready(self) -> str | None:
        """None when the executor takes programs, else what is wrong (a readiness check)."""
        try:
            response = await self._http.get("/readyz", timeout=CONNECT_S)
        except httpx.TransportError as error:
            return f"cannot reach executor {self.url}: {error!r}"
        if response.status_code != httpx.codes.OK:
            return f"HTTP {response.status_code}"
        try:
            self.isolation = str(response.json()["isolation"])
        except (ValueError, TypeError, KeyError):
            return f"what answers at {self.url} is not a sandbox executor"
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> ExecutorClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
