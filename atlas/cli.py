"""The `atlas` command. Errors are one red message and an exit code, never a traceback."""

from __future__ import annotations

import typer

from atlas import (
    cli_dlq,
    cli_doctor,
    cli_k3s,
    cli_keys,
    cli_lens,
    cli_models,
    cli_services,
    cli_solve,
    cli_status,
    cli_tasks,
)
from atlas.cli_common import Group

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help=(
        "Self-hosted test-time compute for code: one box, one model, one program per problem.\n\n"
        "First steps:\n"
        "  atlas models pull           # fetch the default model (0.5 GB)\n"
        "  atlas up                    # start the whole stack on this machine\n"
        "  atlas solve problem.md      # in another shell: print a program\n"
        "  atlas doctor                # when something does not work\n\n"
        "Settings are read from ./atlas.conf (see atlas.conf.example), overridden by ATLAS_KEY variables:\n"
        "  ATLAS_MODEL=qwen2.5-coder-1.5b atlas up --pull\n\n"
        "Exit codes:\n"
        "  0    done\n"
        "  1    the stack, the machine or the gateway is at fault\n"
        "  2    wrong usage, settings or input\n"
        "  130  interrupted"
    ),
)
app.command()(cli_services.up)
app.command(cls=cli_solve.PairedExamples)(cli_solve.solve)
app.command()(cli_status.status)
app.command()(cli_tasks.tasks)
app.command()(cli_tasks.journal)
app.command()(cli_tasks.cancel)
app.command()(cli_doctor.doctor)
app.command()(cli_services.serve)
app.command()(cli_services.worker)
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_dlq.app, name="dlq")
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_lens.app, name="lens")
app.add_typer(cli_k3s.app, name="k3s")


if __name__ == "__main__":
    app()
