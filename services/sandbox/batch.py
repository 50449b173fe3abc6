"""The inputs of one request: slots take them one by one, and their runs come back in the inputs' order."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Lock

from atlas.executor import Run, RunStatus


class Batch:
    """Shared by the `workers` threads that run a request, and the one that waits for them. Thread-safe.

    Args:
        inputs: one run each.
        workers: how many threads will `leave` before it is done.
        stop_on_error: take no input after one whose run is not ok.
    """

    def __init__(self, inputs: Sequence[str], workers: int, *, stop_on_error: bool) -> None:
        self.workers = self._working = workers
        self._inputs, self._stop_on_error = inputs, stop_on_error
        self._runs: dict[int, Run] = {}
        self._next, self._end = 0, len(inputs)
        self._lock, self._done = Lock(), Event()
        self._error: BaseException | None = None

    def take(self) -> tuple[int, str] | None:
        """The next input and its number, None when there is no more to do."""
        with self._lock:
            if self._next >= self._end:
                return None
            self._next += 1
            return self._next - 1, self._inputs[self._next - 1]

    def put(self, number: int, run: Run) -> None:
        """What became of an input."""
        with self._lock:
            self._runs[number] = run
            if self._stop_on_error and run.status is not RunStatus.OK:
                self._end = min(self._end, number + 1)

    def leave(self, error: BaseException | None = None) -> None:
        """A worker takes no more; `error` is what stopped it, if it was not the end of the inputs."""
        with self._lock:
            self._working -= 1
            self._error = self._error or error
            if self._working == 0:
                self._done.set()

    def wait(self) -> list[Run]:
        """The runs, once every worker has left; up to the first that is not ok with `stop_on_error`.

        An input that nobody took, since the executor is stopping, is an `infrastructure_error`.

        Raises:
            BaseException: whatever a worker failed with.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        stopped = Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="the executor is stopping")
        runs = [self._runs.get(number, stopped) for number in range(self._end)]
        if self._stop_on_error:
            first = next((n for n, run in enumerate(runs) if run.status is not RunStatus.OK), len(runs))
            runs = runs[: first + 1]
        return runs
