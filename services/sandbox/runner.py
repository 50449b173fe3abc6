"""Runs requests over a fixed number of slots."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from atlas.executor import ExecuteRequest, ExecuteResponse, Run, RunStatus
from services.sandbox.runs import run_program
from services.sandbox.selfcheck import self_check


class Runner:
    """Runs requests over a fixed number of slots. Threads live as long as the runner (see process.py)."""

    def __init__(self, jobs: int, isolation: str) -> None:
        self.jobs, self.isolation = jobs, isolation
        self._slots = ThreadPoolExecutor(jobs, thread_name_prefix="run")
        self._closing = Event()

    @classmethod
    def start(cls, *, jobs: int = 0) -> Runner:
        """A runner whose limits have been tried; `jobs` 0: one per core.

        Raises:
            StartupError: a limit did not take: the machine must not run untrusted programs.
        """
        return cls(max(1, jobs or os.cpu_count() or 1), self_check())

    def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run every input, or up to the first run that is not ok if `stop_on_error`. Blocks."""
        waiting, inputs = deque[Future[Run]](), deque(request.inputs)
        runs: list[Run] = []
        while waiting or inputs:
            while inputs and len(waiting) < self.jobs:
                waiting.append(self._slots.submit(self._run, request, inputs.popleft()))
            runs.append(waiting.popleft().result())
            if request.stop_on_error and runs[-1].status is not RunStatus.OK:
                for future in waiting:
                    future.cancel()
                break
        return ExecuteResponse(runs=tuple(runs), isolation=self.isolation)

    def _run(self, request: ExecuteRequest, text: str) -> Run:
        return run_program(
            request.code,
            text,
            kind=request.kind,
            entry_point=request.entry_point,
            limits=request.limits,
            stop=self._closing,
        ).run

    def close(self) -> None:
        """Kill what runs; every waiting run ends as `infrastructure_error`."""
        self._closing.set()
        self._slots.shutdown(wait=True)
