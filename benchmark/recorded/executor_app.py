"""A sandbox executor that answers from a record of runs, and has run only what the record does not know.

Without a live executor behind it, what is not there is refused with 404 `Unanswerable`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from atlas import executor as contract
from atlas.errors import ExecutorError
from atlas.executor import ExecuteRequest, ExecuteResponse, Executor, Run, RunStatus
from atlas.problem_json import add_errors, problem
from benchmark.recorded.completions import sha256
from benchmark.recorded.executions import ExecutionStore
from benchmark.recorded.model_app import UNANSWERABLE


@dataclass
class Runs:
    """Runs answered so far: from the record, by a live executor, and not at all."""

    recorded: int = 0
    anew: int = 0
    unanswerable: int = 0
    refused: list[str] = field(default_factory=list)


class _Unknown(Exception):
    """A run is not in the record, and there is nobody to make it."""


def executor_app(store: ExecutionStore, counts: Runs, live: Executor | None) -> FastAPI:
    """Return the app; `live` runs what the record does not know, once for each content."""
    app = FastAPI()
    add_errors(app, contract.MAX_BODY_BYTES)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ok", "isolation": store.isolation}

    @app.post("/v1/execute")
    async def execute(request: ExecuteRequest) -> ExecuteResponse:
        program = sha256(request.code)
        known = [store.find(request, program, sha256(text)) for text in request.inputs]
        missing = tuple(text for text, run in zip(request.inputs, known, strict=True) if run is None)
        counts.recorded += len(known) - len(missing)
        made = iter(await _run(request, missing) if missing else ())
        runs = [run or next(made) for run in known]
        return ExecuteResponse(runs=_until_error(runs, request.stop_on_error), isolation=store.isolation)

    async def _run(request: ExecuteRequest, inputs: tuple[str, ...]) -> tuple[Run, ...]:
        if live is None:
            counts.unanswerable += len(inputs)
            which = f"program {sha256(request.code)[:12]} on input {sha256(inputs[0])[:12]}"
            counts.refused.append(f"a run of {which}")
            raise _Unknown(f"{UNANSWERABLE}: not in the record: a run of {which}, and {len(inputs) - 1} more")
        answer = await live.execute(request.model_copy(update={"inputs": inputs, "stop_on_error": False}))
        if len(answer.runs) != len(inputs):
            raise ExecutorError(f"the executor answered {len(answer.runs)} runs to {len(inputs)} inputs")
        counts.anew += len(inputs)
        for text, run in zip(inputs, answer.runs, strict=True):
            if run.status is not RunStatus.INFRASTRUCTURE_ERROR:  # that will be asked for again
                store.add(request, sha256(request.code), sha256(text), run)
        store.isolation = store.isolation or answer.isolation
        return answer.runs

    @app.exception_handler(_Unknown)
    async def unknown(_: Request, error: _Unknown) -> JSONResponse:
        return problem(404, UNANSWERABLE, str(error))

    return app


def _until_error(runs: list[Run], stop: bool) -> tuple[Run, ...]:
    for index, run in enumerate(runs):
        if stop and run.status is not RunStatus.OK:
            return tuple(runs[: index + 1])
    return tuple(runs)
