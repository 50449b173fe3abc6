"""Spans of the candidates of tasks under way: a journal is read once, and then only what is new in it."""

from __future__ import annotations

from collections import OrderedDict

from atlas.lens.vectors import Drawings
from atlas.span_embedding import SpanEmbedding
from atlas.worker import Context

MOST_TASKS = 32  # of 16 candidates with 5120 numbers a part some 20 MB; a task that fell out is read anew


class _Read:
    """What was read of a journal: the entries up to `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.drawings = Drawings()


class DrawnSpans:
    """Finds spans by task and candidate; for one event loop."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, _Read] = OrderedDict()

    async def of(self, context: Context, candidate: str) -> SpanEmbedding | None:
        """Return the span that came with a candidate of the context's task; None where none did."""
        if context.journal is None:
            return None
        known = self._tasks.setdefault(context.task, _Read())
        self._tasks.move_to_end(context.task)
        if len(self._tasks) > MOST_TASKS:
            self._tasks.popitem(last=False)
        if candidate not in known.drawings.found:
            for entry in await context.journal.read(context.task, known.seq):
                # Of two that read at once the second one finds what the first has seen.
                if entry.seq > known.seq:
                    known.seq = entry.seq
                    known.drawings.see(entry.event)
        drawing = known.drawings.found.get(candidate)
        return drawing.choice.span if drawing else None
