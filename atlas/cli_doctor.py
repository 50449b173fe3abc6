"""`atlas doctor`: what is missing and the command that mends it."""

from __future__ import annotations

from typing import Annotated

import typer

from atlas.cli_common import TROUBLE, ConfigOption, JsonOption, stdout

COLOURS = {"ok": "green", "warning": "yellow", "missing": "bold red"}


def doctor(
    full: Annotated[
        bool, typer.Option("--full", help="read the model file whole and compare its hash")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look for what this machine lacks to run the stack, and name the command that mends it.

    Nothing is changed or started, but for a moment the sandbox, which is tried out.

    Examples:
      atlas doctor
      atlas doctor --full
      atlas doctor --json

    Exit codes:
      0  all there; warnings are allowed
      1  something is missing
    """
    import dataclasses
    import json

    from rich.table import Column, Table
    from rich.text import Text

    from atlas.doctor import examine

    checks = examine(config, full=full)
    if as_json:
        typer.echo(json.dumps({"checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        table = Table.grid("", "", Column(overflow="fold"), padding=(0, 2, 0, 0))
        for check in checks:
            table.add_row(Text(check.name), Text(check.state, COLOURS[check.state]), Text(check.detail))
            if check.mend:
                table.add_row("", "", Text(f"→ {check.mend}", "bold"))
        stdout().print(table, soft_wrap=False)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(TROUBLE)
