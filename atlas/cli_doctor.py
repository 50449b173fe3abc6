"""`atlas doctor`: what is missing and the command that mends it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from atlas.cli_common import TROUBLE, ConfigOption, JsonOption, settings_of, stdout
from atlas.errors import BadInput

COLOURS = {"ok": "green", "warning": "yellow", "missing": "bold red"}


def doctor(
    full: Annotated[
        bool, typer.Option("--full", help="read the model file whole and compare its hash")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="plan memory: GGUF file or catalogue name (else MODEL)", metavar="FILE"),
    ] = None,
    vram: Annotated[
        float | None,
        typer.Option("--vram", min=0.5, max=100_000, help="plan for a GPU of so many GB", metavar="GB"),
    ] = None,
    ram: Annotated[
        float | None,
        typer.Option(
            "--ram",
            min=0.5,
            max=100_000,
            help="plan for a CPU and so many GB (else what is free)",
            metavar="GB",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option("--context", min=1024, help="tokens of context, all slots together", metavar="N"),
    ] = None,
    slots: Annotated[int | None, typer.Option("--slots", min=1, max=64, help="requests at once")] = None,
    kv_type: Annotated[
        Literal["f16", "q8_0", "q4_0"] | None,
        typer.Option("--kv-type", help="keys and values: f16, q8_0, q4_0", metavar="TYPE"),
    ] = None,
    draft: Annotated[
        str | None, typer.Option("--draft", help="draft model: file, catalogue name or none", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Look for what this machine lacks to run the stack, and name the command that mends it.

    Nothing is changed or started, but for a moment the sandbox, which is tried out.

    With --model, --vram or --ram it plans memory instead: which context, slots, type of keys and values
    and draft model fit, as lines for atlas.conf, or what to change. What is not asked for is chosen.

    Examples:
      atlas doctor
      atlas doctor --full
      atlas doctor --json
      atlas doctor --model qwen3-14b --vram 16
      atlas doctor --vram 12 --slots 2 --kv-type q8_0 --draft none

    Exit codes:
      0  all there, or the model fits; warnings are allowed
      1  something is missing, or does not fit
    """
    import dataclasses
    import json

    from rich.table import Column, Table
    from rich.text import Text

    from atlas.doctor import examine

    if (model, vram, ram) != (None, None, None):
        from atlas import cli_memory
        from atlas.memory_plan import Wish

        wish = Wish(context, slots, kv_type)
        finding = cli_memory.find(settings_of(config), model, draft, cli_memory.budget_of(vram, ram), wish)
        cli_memory.show(finding, as_json=as_json)
        if not finding.fits:
            raise typer.Exit(TROUBLE)
        return
    if (context, slots, kv_type, draft) != (None, None, None, None):
        raise BadInput("--context, --slots, --kv-type and --draft go with --model, --vram or --ram")
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
