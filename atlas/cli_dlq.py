"""`atlas dlq`: commands that were given up, and what to do with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli_common import (
    ConfigOption,
    JsonOption,
    TargetOption,
    group,
    reached,
    run,
    settings_of,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from atlas.api import DeadLetter

app = group(
    "Dead letters: commands that no worker lived to answer.\n\n"
    "A command whose worker dies each time it takes it is given up; its task goes on without it, or fails. "
    "It is kept here until it is retried or dropped.\n\n"
    "Examples:\n"
    "  atlas dlq list\n"
    "  atlas dlq show 1732442000123-0\n"
    "  atlas dlq retry 1732442000123-0\n"
    "  atlas dlq drop 1732442000123-0"
)
LetterArgument = Annotated[
    str, typer.Argument(metavar="ID", help="a letter's id, see atlas dlq list", show_default=False)
]


@app.command("list")
def list_letters(
    as_json: JsonOption = False, target: TargetOption = None, config: ConfigOption = None
) -> None:
    """List dead letters, oldest first.

    Prints nothing but a header where there is none.

    Examples:
      atlas dlq list
      atlas dlq list --json
    """
    from rich.table import Table
    from rich.text import Text

    from atlas.cli_tasks import age
    from atlas.story_words import printable

    settings = settings_of(config)

    async def work() -> None:
        async with reached(settings, target) as gateway:
            found = await gateway.dead_letters()
        if as_json:
            typer.echo(found.model_dump_json())
            return
        table = Table("id", "age", "service", "command", "task", "why", box=None, header_style="bold")
        for letter in found.letters:
            row = (letter.service, letter.command.id, letter.task, printable(letter.detail))
            table.add_row(letter.id, age(time.time() - letter.time), *(Text(cell) for cell in row))
        stdout().print(table, soft_wrap=False)

    run(work())


@app.command("show")
def show_letter(letter: LetterArgument, target: TargetOption = None, config: ConfigOption = None) -> None:
    """Show one dead letter whole, as JSON.

    What led to it is in the journal of its task (atlas journal).

    Examples:
      atlas dlq show 1732442000123-0
    """
    settings = settings_of(config)

    async def work() -> DeadLetter:
        async with reached(settings, target) as gateway:
            return await gateway.dead_letter(letter)

    typer.echo(run(work()).model_dump_json(indent=2))


@app.command("retry")
def retry_letter(letter: LetterArgument, target: TargetOption = None, config: ConfigOption = None) -> None:
    """Submit a dead letter's problem again as a new task, and drop the letter.

    Its own task stays as it ended. Prints the new task's id.

    Examples:
      atlas dlq retry 1732442000123-0
      atlas journal --follow $(atlas dlq retry 1732442000123-0)
    """
    settings = settings_of(config)

    async def work() -> str:
        async with reached(settings, target) as gateway:
            return (await gateway.retry_letter(letter)).id

    typer.echo(run(work()))


@app.command("drop")
def drop_letter(letter: LetterArgument, target: TargetOption = None, config: ConfigOption = None) -> None:
    """Forget a dead letter; its task stays as it is.

    Nothing is run again.

    Examples:
      atlas dlq drop 1732442000123-0
    """
    settings = settings_of(config)

    async def work() -> None:
        async with reached(settings, target) as gateway:
            await gateway.drop_letter(letter)

    run(work())
    stderr().print(f"dropped {letter}", markup=False)
