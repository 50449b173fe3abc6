"""`atlas tasks`, `journal` and `cancel`: what the stack has done and is doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli_common import (
    ConfigOption,
    JsonOption,
    TargetOption,
    TaskArgument,
    reached,
    run,
    settings_of,
    stdout,
)

if TYPE_CHECKING:
    from rich.table import Table

    from atlas.api import TaskView
    from atlas.config import Settings
    from atlas.events import Entry

SHORT_ID = 8
COLOURS = {
    "running": "cyan",
    "decided": "green",
    "abstained": "yellow",
    "failed": "red",
    "cancelled": "yellow",
}


def tasks(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="tasks at most")] = 20,
    as_json: JsonOption = False,
    target: TargetOption = None,
    config: ConfigOption = None,
) -> None:
    """List tasks, newest first.

    Wherever a command asks for a TASK, the beginning of an id is enough as long as no other begins so.

    Examples:
      atlas tasks
      atlas tasks --limit 100 --json
    """
    settings = settings_of(config)

    async def work() -> None:
        async with reached(settings, target) as gateway:
            found = await gateway.tasks(limit)
        if as_json:
            typer.echo(found.model_dump_json())
        else:
            stdout().print(_table(found.tasks), soft_wrap=False)

    run(work())


def journal(
    task: TaskArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the task has ended")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the events, one JSON object a line")] = False,
    target: TargetOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell the story of a task: plans, calls, candidates, verdicts, repairs, comparisons, and the decision.

    Each step is led by the seconds since the task was submitted. A decided task's program comes last.

    Examples:
      atlas journal 3f2a
      atlas journal 3f2a --follow
      atlas journal 3f2a --json > 3f2a.jsonl
    """
    settings = settings_of(config)
    run(_journal(settings, target, task, follow, _Raw() if as_json else _Told()))


def cancel(task: TaskArgument, target: TargetOption = None, config: ConfigOption = None) -> None:
    """Cancel a task; one that has ended stays as it is.

    Model calls in flight stop within a second. The journal stays.

    Examples:
      atlas cancel 3f2a
    """
    settings = settings_of(config)

    async def work() -> None:
        async with reached(settings, target) as gateway:
            view = await gateway.cancel(await gateway.find(task))
        typer.echo(f"{view.id}  {view.status}")

    run(work())


class _Raw:
    """Prints entries as they are stored."""

    def heard(self, entry: Entry) -> None:
        typer.echo(entry.model_dump_json())

    def ended(self, view: TaskView) -> None:
        """Everything has been printed."""


class _Told:
    """Prints entries as steps of a story, and the program below it."""

    def __init__(self) -> None:
        from atlas.story import Story

        self._story = Story()
        self._console = stdout()

    def heard(self, entry: Entry) -> None:
        from atlas.cli_story import show

        for step in self._story.tell(entry):
            show(self._console, step)

    def ended(self, view: TaskView) -> None:
        from atlas.story_words import escaped

        if view.program is not None:
            self._console.print()
            self._console.print(escaped(view.program.rstrip("\n")), markup=False)


async def _journal(
    settings: Settings, target: str | None, beginning: str, follow: bool, teller: _Raw | _Told
) -> None:
    last = 0

    def heard(entry: Entry) -> None:
        nonlocal last
        last = entry.seq
        teller.heard(entry)

    async with reached(settings, target) as gateway:
        task = await gateway.find(beginning)
        view = await (gateway.wait(task, heard) if follow else gateway.get(task))
        for entry in await gateway.entries(task):
            if entry.seq > last:  # all of them, or what a stream that broke off did not bring
                heard(entry)
        teller.ended(view)


def _table(views: tuple[TaskView, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from atlas.story import judged, tokens
    from atlas.story_words import printable

    table = Table("id", "status", "policy", "age", box=None, header_style="bold")
    table.add_column("seconds", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("outcome")
    short = _short_ids([view.id for view in views])
    for view in views:
        if view.candidate is not None and view.evidence is not None:
            outcome = judged(view.candidate, view.evidence)
        else:
            outcome = printable((view.error or "").removeprefix("abstained: "), 80)
        table.add_row(
            short[view.id],
            Text(view.status, COLOURS[view.status]),
            printable(view.policy),
            age(time.time() - view.submitted_at),
            f"{view.seconds:.1f}",
            tokens(view.usage),
            Text(outcome),
        )
    return table


def _short_ids(ids: list[str]) -> dict[str, str]:
    """Cut ids to the shortest length, from eight characters on, at which no two of them are alike."""
    length = SHORT_ID
    while len({each[:length] for each in ids}) < len(ids):
        length += 1
    return {each: each[:length] for each in ids}


def age(seconds: float) -> str:
    """Return a time span in its largest unit: `40 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
