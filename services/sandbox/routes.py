"""The executor's HTTP face: what it may be asked, over a runner that does it.

Nothing here runs untrusted code, and an expected output never leaves this process. Requests are served in
threads, because a run blocks; the runner shares its slots between them.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from atlas import executor as contract
from atlas.contracts import Contract, Execution, Limits
from atlas.executor import (
    ExecuteManyRequest,
    ExecuteManyResponse,
    ExecuteRequest,
    ExecuteResponse,
    JudgeRequest,
)
from atlas.judge import judge as judge_program
from atlas.problem_json import add_errors
from services.sandbox.metrics import Metrics
from services.sandbox.runner import Runner


class LimitsRange(Contract):
    """The limits of a run: those it has unless it asks for others, and the most it may ask for."""

    default: Limits
    maximum: Limits


class Sizes(Contract):
    """The most one request may hold; more is refused with 413 or 422."""

    program_chars: int = contract.MAX_PROGRAM_CHARS
    inputs: int = contract.MAX_INPUTS
    input_bytes: int = contract.MAX_INPUT_BYTES
    body_bytes: int = contract.MAX_BODY_BYTES
    programs: int = contract.MAX_PROGRAMS
    runs: int = contract.MAX_RUNS
    outputs_kb: int = contract.MAX_OUTPUTS_KB


class Environment(Contract):
    """What a program finds here. `packages` can be imported besides the standard library."""

    languages: tuple[str, ...] = ("python",)
    python: str
    implementation: str
    machine: str
    packages: dict[str, str]
    limits: LimitsRange
    sizes: Sizes = Sizes()
    isolation: str
    why_not_stronger: str
    jobs: int


class Sandbox:
    """The runner as the judge wants it (`atlas.executor.Executor`), with every run counted."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.metrics = Metrics(runner)

    def run(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run one program on its inputs. Blocks."""
        response = self.runner.execute(request)
        self.metrics.count(response.runs)
        return response

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """The same; blocks its event loop, which is one of its own (see `judge`)."""
        return self.run(request)

    def run_many(self, request: ExecuteManyRequest) -> ExecuteManyResponse:
        """Run many programs on the same inputs. Blocks."""
        # As many programs at once as fill the slots: no more, so that the next request gets its turn.
        at_once = min(len(request.programs), -(-self.runner.jobs // len(request.inputs)))
        with ThreadPoolExecutor(at_once, thread_name_prefix="many") as pool:
            answers = pool.map(lambda i: self.run(request.one(i)).runs, range(len(request.programs)))
            return ExecuteManyResponse(runs=tuple(answers), isolation=self.runner.isolation)

    def judge(self, request: JudgeRequest) -> Execution:
        """Run a program on the inputs of its tests and compare here. Blocks."""
        return asyncio.run(
            judge_program(
                self,
                code=request.code,
                problem=request,
                tests=request.examples(),
                checker=request.checker,
                stop_on_failure=request.stop_on_failure,
            )
        )


def create_app(runner: Runner) -> FastAPI:
    """The HTTP face of a runner; closes it when the server stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        runner.close()

    app = FastAPI(title="ATLAS sandbox executor", lifespan=lifespan)
    add_errors(app, contract.MAX_BODY_BYTES)
    sandbox = Sandbox(runner)
    _add_runs(app, sandbox)
    _add_facts(app, sandbox)
    return app


def _add_runs(app: FastAPI, sandbox: Sandbox) -> None:
    # Runs are many, and ours: they are written out as they are, not validated a second time.
    @app.post("/v1/execute", response_model=ExecuteResponse)
    def execute(request: ExecuteRequest) -> Response:
        """Run one program on its inputs, in order."""
        return _json(sandbox.run(request))

    @app.post("/v1/execute-many", response_model=ExecuteManyResponse)
    def execute_many(request: ExecuteManyRequest) -> Response:
        """Run many programs on the same inputs."""
        return _json(sandbox.run_many(request))

    @app.post("/v1/judge")
    def judge(request: JudgeRequest) -> Execution:
        """Judge one program on tests; it is sent their inputs only."""
        return sandbox.judge(request)


def _json(answer: Contract) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_facts(app: FastAPI, sandbox: Sandbox) -> None:
    runner = sandbox.runner

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """It serves only after its self-check, so whoever gets an answer may send programs."""
        return {"status": "ok", "isolation": runner.isolation}

    @app.get("/v1/environment")
    async def environment() -> Environment:
        """What a program finds here."""
        return Environment(
            python=platform.python_version(),
            implementation=platform.python_implementation(),
            machine=platform.machine(),
            packages=runner.packages,
            limits=LimitsRange(default=Limits(), maximum=largest_limits()),
            isolation=runner.isolation,
            why_not_stronger=runner.why_not_stronger,
            jobs=runner.jobs,
        )

    @app.get("/metrics")
    def metrics() -> Response:
        """Prometheus metrics of this executor."""
        return Response(generate_latest(sandbox.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def largest_limits() -> Limits:
    """The most a run may ask for, as `Limits` itself says."""
    most = {
        name: bound.le
        for name, field in Limits.model_fields.items()
        for bound in field.metadata
        if hasattr(bound, "le")
    }
    return Limits.model_validate(most)
