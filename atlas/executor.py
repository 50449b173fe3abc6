"""What is asked of the sandbox executor, and what it answers: programs and inputs in, outputs out.

An expected output has no field here: comparison happens in the asker's process (`atlas.judge`).
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import Field, model_validator

from atlas.contracts import MAX_CODE_CHARS, Contract, Limits


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
