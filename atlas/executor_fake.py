"""A stand-in for the sandbox executor: answers from a table or a function, in this process, at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from atlas.executor import (
    ExecuteManyRequest,
    ExecuteManyResponse,
    ExecuteRequest,
    ExecuteResponse,
    Run,
    RunStatus,
)


class FakeExecutor:
    """Speaks the interface of `atlas.executor.ExecutorClient` without a process or a socket.

    `answers` maps (code, input) to a Run, or is a function that does; a pair missing from the mapping is
    a KeyError, so a test notices. `requests` keeps what was asked, in order.
    """

    def __init__(
        self,
        answers: Mapping[tuple[str, str], Run] | Callable[[str, str], Run],
        *,
        isolation: str = "fake",
    ) -> None:
        self._answer = answers if callable(answers) else lambda code, text: answers[code, text]
        self.isolation = isolation
        self.requests: list[ExecuteRequest] = []

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Answer every input, or up to the first failing one if `stop_on_error`."""
        self.requests.append(request)
        runs: list[Run] = []
        for text in request.inputs:
            runs.append(self._answer(request.code, text))
            if request.stop_on_error and runs[-1].status is not RunStatus.OK:
                break
        return ExecuteResponse(runs=tuple(runs), isolation=self.isolation)

    async def execute_many(self, request: ExecuteManyRequest) -> ExecuteManyResponse:
        """Answer every input for every program; `requests` gets one entry per program."""
        answers = [await self.execute(request.one(index)) for index in range(len(request.programs))]
        return ExecuteManyResponse(runs=tuple(each.runs for each in answers), isolation=self.isolation)

    async def aclose(self) -> None:
        """Nothing to close."""
