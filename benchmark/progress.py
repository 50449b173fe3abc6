"""How a run is going, on stderr: a line per task, and on a terminal a live bar below them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from benchmark.run_store import Outcome, TaskRecord
from benchmark.run_summary import duration

COLOURS = {"passed": "green", "failed": "yellow", "error": "bold red"}


def outcome_line(place: str, outcome: Outcome, told: str, problem: str | None, state: str) -> Text:
    """Return the line of one task; `state`: what all stands at, "" where that is shown elsewhere."""
    return Text.assemble(
        f"{place} ",
        (outcome, COLOURS[outcome]),
        f"  {told}",
        f"  {problem}" if problem else "",
        f"  | {state}" if state else "",
    )


class RunProgress:
    """A context manager; tell it of each task as it is `done`."""

    def __init__(self, console: Console, total: int, before: Iterable[TaskRecord] = ()) -> None:
        self._console = console
        self._total = total
        self._began = time.monotonic()
        self._results = self._passed = self._tokens = self._now = 0
        for record in before:
            self._count(record)
        self._finished = self._results
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}", markup=False))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total, completed=self._finished, state=self._state())

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, record: TaskRecord) -> None:
        """Show a task's outcome and what the run stands at."""
        self._count(record)
        self._finished += 1
        self._now += 1
        spent = record.view.usage.tokens_in + record.view.usage.tokens_out if record.view else 0
        told = f"{record.task}  {record.finished_at - record.started_at:.1f} s  {spent:,} tokens"
        state = "" if self._console.is_terminal else self._state()
        place = f"[{self._finished}/{self._total}]"
        problem = "abstained" if record.view and record.view.status == "abstained" else record.error
        self._console.print(outcome_line(place, record.outcome, told, problem, state), soft_wrap=True)
        self._bar.update(self._task, completed=self._finished, state=self._state())

    def _count(self, record: TaskRecord) -> None:
        if record.outcome != "error":
            self._results += 1
            self._passed += record.outcome == "passed"
        if record.view:
            self._tokens += record.view.usage.tokens_in + record.view.usage.tokens_out

    def _state(self) -> str:
        rate = f"{self._passed}/{self._results} passed" + (
            f" ({self._passed / self._results:.0%})" if self._results else ""
        )
        elapsed = time.monotonic() - self._began
        left = ""
        if self._now and self._finished < self._total:
            rest = elapsed / self._now * (self._total - self._finished)
            left = f", about {duration(rest)} left"
        return f"{rate}, {self._tokens:,} tokens, {duration(elapsed)}{left}"
