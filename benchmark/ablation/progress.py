"""How an ablation is going, on stderr: a line per task, and on a terminal a live bar below them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmark.ablation.estimate import seconds_left
from benchmark.progress import outcome_line
from benchmark.run_store import TaskRecord
from benchmark.run_summary import duration

Key = tuple[str, str]  # model and condition


class AblationProgress:
    """A context manager; tell it which cell `begins`, and of each task of it as it is `done`.

    Args:
        console: where to.
        left: tasks left by cell name, and `keys` the (model, condition) of each cell.
        finished: tasks that had their result before.
        weights: see `seconds_left`.
    """

    def __init__(
        self,
        console: Console,
        left: Mapping[str, int],
        keys: Mapping[str, Key],
        finished: int,
        weights: Mapping[Key, float],
    ) -> None:
        self._console = console
        self._left = dict(left)
        self._keys = keys
        self._weights = weights
        self._finished = finished
        self._total = finished + sum(left.values())
        self._measured: dict[Key, tuple[float, int]] = {}
        self._cell = ""
        self._before = (0.0, 0)
        self._began = 0.0
        self._results = self._passed = self._cell_done = 0
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}", markup=False))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=self._total, completed=finished, state="")

    def __enter__(self) -> AblationProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begins(self, cell: str) -> None:
        """Show that a cell is next; its clock starts."""
        self._cell = cell
        self._before = self._measured.get(self._keys[cell], (0.0, 0))
        self._began = time.monotonic()
        self._results = self._passed = self._cell_done = 0
        self._console.print(f"{cell}: {self._left[cell]} tasks", style="bold", markup=False, soft_wrap=True)

    def done(self, record: TaskRecord) -> None:
        """Show a task's outcome, and what the cell and the whole stand at."""
        self._left[self._cell] -= 1
        self._finished += 1
        self._cell_done += 1
        self._results += record.outcome != "error"
        self._passed += record.outcome == "passed"
        seconds, tasks = self._before
        elapsed = time.monotonic() - self._began
        self._measured[self._keys[self._cell]] = (seconds + elapsed, tasks + self._cell_done)
        spent = record.view.usage.tokens_out if record.view else 0
        told = f"{record.task}  {record.finished_at - record.started_at:.1f} s  {spent:,} tokens out"
        state = "" if self._console.is_terminal else self._state()
        place = f"[{self._finished}/{self._total}]"
        self._console.print(outcome_line(place, record.outcome, told, record.error, state), soft_wrap=True)
        self._bar.update(self._task, completed=self._finished, state=self._state())

    def _state(self) -> str:
        rate = f"{self._cell}: {self._passed}/{self._results} passed"
        by_key: dict[Key, int] = {}
        for cell, tasks in self._left.items():
            by_key[self._keys[cell]] = by_key.get(self._keys[cell], 0) + tasks
        rest = seconds_left(by_key, self._measured, self._weights)
        return rate + (f", about {duration(rest)} left of the plan" if rest else "")
