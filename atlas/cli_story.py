"""The story of a task on a terminal: a line for each step and, while it runs, what goes on below them."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from atlas.events import Entry
from atlas.story import Step, Story, tokens

STYLES = {"plain": "", "good": "green", "bad": "yellow", "faint": "dim"}
REFRESHES_A_SECOND = 8
TIME_WIDTH = 9


def show(console: Console, step: Step, *, details: bool = True) -> None:
    """Print a step, led by its time: wrapped beside it on a terminal, else one line for each of its lines."""
    rows = [(f"{step.seconds:7.1f} s", Text(step.text, STYLES[step.tone]))]
    rows += [("", Text(f"  {detail}", "dim")) for detail in step.details if details]
    for when, text in rows:
        if console.is_terminal:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(width=TIME_WIDTH, style="dim")
            grid.add_row(when, text)
            console.print(grid, soft_wrap=False)
        else:
            console.print(Text.assemble(f"{when:{TIME_WIDTH}}  ", text))


class Stages:
    """A context manager that shows a running task; quiet where `console` is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._story = Story()
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(
            self,
            console=console,
            transient=True,
            refresh_per_second=REFRESHES_A_SECOND,
            redirect_stdout=False,
        )

    def __enter__(self) -> Stages:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich__(self) -> Spinner:
        """Return the moving last line."""
        elapsed = time.monotonic() - self._began
        doing = self._story.doing() or "waiting"
        spent = f"{tokens(self._story.state.usage)} tokens"
        text = Text(f"{elapsed:6.1f} s  {doing}, {spent}", overflow="ellipsis", no_wrap=True)
        self._spinner.update(text=text)
        return self._spinner

    def heard(self, entry: Entry) -> None:
        """Show what an event has to say."""
        for step in self._story.tell(entry):
            if self._console.is_terminal and not step.machinery:
                show(self._console, step, details=False)
