"""What the commands of `atlas` share: errors as one message and an exit code, options, a way to stop."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from atlas.cancellation import Interrupted, run_interruptible
from atlas.errors import AtlasError, BadInput, ConfigError, StartupError

if TYPE_CHECKING:
    from rich.console import Console

    from atlas.client import Gateway
    from atlas.config import Settings

T = TypeVar("T")
TROUBLE, USAGE, NO_PROGRAM, NOT_PASSING, ABSTAINED, INTERRUPTED = 1, 2, 3, 4, 5, 130
FILE_WIDTH = 1000
PATIENCE_S = 10.0  # a person waits: a gateway that is there answers sooner

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="settings file (else $ATLAS_CONF or ./atlas.conf)", metavar="FILE"),
]
TargetOption = Annotated[
    str | None, typer.Option("--target", help="the gateway (else that of the settings)", metavar="URL")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="a task's id, or enough of its beginning", show_default=False)
]


class Group(TyperGroup):
    """Shows an `AtlasError` on stderr: exit code 2 for a wrong setting or input, 1 for the rest."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as below
        """Return a command whose help fits any width: its prose may be broken anywhere, its lists may not."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.help = _reflowed(command.help or "")
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's own signature, whichever click typer brings
        """Run the command."""
        try:
            return super().invoke(ctx)
        except AtlasError as error:
            from rich.text import Text

            message = Text.assemble((f"{error.title}: ", "bold red"), (str(error), "red"))
            stderr().print(message)
            raise typer.Exit(USAGE if isinstance(error, (ConfigError, BadInput)) else TROUBLE) from None


def group(help: str) -> typer.Typer:  # noqa: A002 - typer's own word
    """Return a group of commands with this help."""
    return typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode="rich", help=help)


def _reflowed(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(p if "\n  " in p else " ".join(p.split("\n")) for p in paragraphs)


def stderr() -> Console:
    """Return a console for everything that is not the result."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)


def stdout() -> Console:
    """Return a console for the result; what goes to a file or a pipe is not cut to a screen's width."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else FILE_WIDTH
    return Console(soft_wrap=True, highlight=False, width=width)


def settings_of(config: Path | None) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: see `atlas.config.load`.
    """
    from atlas.config import load

    return load(config)


@contextlib.asynccontextmanager
async def reached(settings: Settings, target: str | None) -> AsyncIterator[Gateway]:
    """Open a client of a gateway that answers.

    Raises:
        StartupError: none answers there; says what to do.
    """
    from atlas.client import Gateway
    from atlas.installed import gateway_of

    url, key = gateway_of(settings, target)
    async with Gateway(url, api_key=key, patience_s=PATIENCE_S) as gateway:
        if (await gateway.readiness()).state == "absent":
            raise StartupError(absent(url, target is not None))
        yield gateway


def absent(url: str, named: bool) -> str:
    """Say that no gateway answers, and what to do about it; `named`: the user chose the URL."""
    what = "check --target" if named else "start the stack with `atlas up`, or name another with --target URL"
    return f"no gateway answers at {url}: {what}"


def run(work: Coroutine[object, object, T]) -> T:
    """Await `work`; when it was interrupted, exit with 130.

    Raises:
        typer.Exit: when it was.
    """
    try:
        return run_interruptible(work)
    except Interrupted:
        sys.stderr.write("interrupted\n")
        raise typer.Exit(INTERRUPTED) from None
