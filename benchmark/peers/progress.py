"""How a comparison is going, on stderr: a line per task and system."""

from __future__ import annotations

import time

from rich.console import Console

from benchmark.peers.store import PeerRecord
from benchmark.progress import outcome_line
from benchmark.run_summary import duration


class PeersProgress:
    """Tell it of each record as it is `done`; `total` pairs of task and system, `finished` of them before."""

    def __init__(self, console: Console, total: int, finished: int) -> None:
        self._console, self._total, self._finished = console, total, finished
        self._began, self._now = time.monotonic(), 0

    def done(self, record: PeerRecord) -> None:
        """Show an outcome, and what is left to do."""
        self._finished += 1
        self._now += 1
        elapsed = time.monotonic() - self._began
        left = elapsed / self._now * (self._total - self._finished)
        told = f"{record.task}  {record.system}  {record.seconds:.1f} s  {record.usage.tokens_out:,} tokens"
        state = f"{duration(elapsed)}, about {duration(left)} left"
        place = f"[{self._finished}/{self._total}]"
        self._console.print(outcome_line(place, record.outcome, told, record.note, state), soft_wrap=True)
