"""`atlas lens`: the weights there are, their cards, and training one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atlas.cli_common import ConfigOption, JsonOption, group, settings_of

app = group(
    "Energies of candidates: weights, model cards, training.\n\n"
    "Examples:\n"
    "  atlas lens list\n"
    "  atlas lens card qwen2.5-coder-0.5b-span\n"
    "  atlas lens train data/pools/train --features span"
)


@app.command("list")
def list_weights(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show the weights that ship and those in DATA_DIR/lens, and what is wrong with files left out.

    Examples:
      atlas lens list
      atlas lens list --json | jq .
    """
    import json as dumps

    from rich.table import Table

    from atlas.cli_common import stdout
    from atlas.lens.table import directories, find

    files, problems = find(directories(settings_of(config).data_dir))
    if json:
        rows = [{"name": f.name, "file": str(f.path), **f.identity.model_dump(mode="json")} for f in files]
        typer.echo(dumps.dumps({"weights": rows, "problems": problems}))
        return
    table = Table("name", "model", "features", "d", "file", box=None, header_style="bold")
    for found in files:
        features = found.identity.features
        parts = "" if features.kind == "surface" else f" ({'+'.join(features.parts)})"
        size = str(features.dimension)
        table.add_row(found.name, found.identity.model, features.kind + parts, size, str(found.path))
    console = stdout()
    if files:
        console.print(table, soft_wrap=False)
    else:
        console.print("there are no lens weights; docs/LENS.md tells how to train some", markup=False)
    for why in problems.values():
        console.print(f"left out: {why}", markup=False)


@app.command("card")
def show_card(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the weights, or of their file")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Print the model card of weights: what they were trained on, and how good they are.

    Examples:
      atlas lens card qwen2.5-coder-0.5b-span
      atlas lens card qwen2.5-coder-0.5b-surface --json | jq .train_tasks
    """
    from atlas.cli_common import stdout
    from atlas.errors import NotFound
    from atlas.lens.table import directories, find

    files, _ = find(directories(settings_of(config).data_dir))
    found = next((f for f in files if name in (f.name, f.path.stem, f.path.name)), None)
    if found is None:
        there = ", ".join(f.path.stem for f in files) or "none"
        raise NotFound(f"no lens weights '{name}'; there are: {there}")
    path = found.card if json else found.card.with_suffix(".md")
    if not path.is_file():
        raise NotFound(f"{found.path.name} has no card {path.name} beside it")
    text = path.read_text(encoding="utf-8")
    if json:
        typer.echo(text)
        return
    from rich.markdown import Markdown

    stdout().print(Markdown(text))


@app.command("train")
def train(
    pools: Annotated[list[Path], typer.Argument(metavar="POOL...", help="graded pools to train on")],
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="POOL", help="a pool to measure on; its tasks are no others'"),
    ] = None,
    features: Annotated[str, typer.Option("--features", metavar="SET", help="span or surface")] = "surface",
    parts: Annotated[
        str, typer.Option("--parts", metavar="P,P", help="of a span, concatenated")
    ] = "mean,last,prompt_last",
    not_in: Annotated[
        list[str] | None,
        typer.Option("--not-in", metavar="FILE[#KEY]", help="refuse training tasks with these ids"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where to write (else DATA_DIR/lens)")
    ] = None,
    ship: Annotated[bool, typer.Option("--ship", help="write to where those that ship are")] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="of the files (else MODEL-SET)")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of folds and first weights")] = 0,
    no_curve: Annotated[bool, typer.Option("--no-curve", help="without the learning curve")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Train an energy on pools of benchmark.deep_pool, graded by benchmark.regrade; write it with its card.

    It runs as a program of its own (benchmark.lens_training): what reads labels is no part of the stack.
    Needs the extras `benchmark` and `lens-train`. docs/LENS.md goes through it, from pool to weights.

    Examples:
      atlas lens train data/pools/train --features surface
      atlas lens train data/pools/train --report data/pools/report --features span
      atlas lens train data/pools/train --features span --parts mean,last --no-curve
    """
    import subprocess
    import sys

    settings = settings_of(config)
    command = [sys.executable, "-m", "benchmark.lens_training", *map(str, pools)]
    for pool in report or ():
        command += ["--report", str(pool)]
    for ids in not_in or ():
        command += ["--not-in", ids]
    command += ["--features", features, "--parts", parts, "--seed", str(seed)]
    command += ["--ship"] if ship else ["--out", str(out or settings.data_dir / "lens")]
    command += ["--name", name] if name else []
    command += ["--no-curve"] if no_curve else []
    command += ["--json"] if json else []
    raise typer.Exit(subprocess.run(command, check=False).returncode)
