"""`atlas status`: the whole stack on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from atlas.cli_common import (
    TROUBLE,
    ConfigOption,
    JsonOption,
    TargetOption,
    absent,
    run,
    settings_of,
    stdout,
)

if TYPE_CHECKING:
    from atlas.api import StackStatus
    from atlas.client import Readiness
    from atlas.config import Settings

STATUS_PATIENCE_S = 2.0


def status(as_json: JsonOption = False, target: TargetOption = None, config: ConfigOption = None) -> None:
    """Show whether the stack is up and what it is doing.

    That is: the model, what keeps it from being ready, each service's queue, tasks under way, commands given
    up (atlas dlq list), and the processes of a stack that runs on this machine.

    Examples:
      atlas status
      atlas status --target http://gpu-box:8400 --json
      until atlas status > status.txt; do sleep 1; done

    Exit codes:
      0  ready for tasks
      1  not ready, or no gateway answers
    """
    from atlas.installed import gateway_of

    settings = settings_of(config)
    url, key = gateway_of(settings, target)
    readiness, told = run(_asked(url, key))
    processes = _processes(settings, url)
    if as_json:
        _print_json(url, readiness, told, processes)
    else:
        _print(url, readiness, told, processes, named=target is not None)
    if readiness.state != "ready":
        raise typer.Exit(TROUBLE)


async def _asked(url: str, key: str | None) -> tuple[Readiness, StackStatus | None]:
    """Return what the gateway says; no status from one that is there but cannot tell (Redis is away)."""
    from atlas.client import Gateway, GatewayUnreachable

    async with Gateway(url, api_key=key, patience_s=STATUS_PATIENCE_S) as gateway:
        readiness = await gateway.readiness()
        try:
            return readiness, None if readiness.state == "absent" else await gateway.status()
        except GatewayUnreachable:
            return readiness, None


def _processes(settings: Settings, url: str) -> dict[str, int]:
    """Return the processes behind `url`, if it is a stack of this machine's settings."""
    from atlas.running_stack import find

    stack = find(settings.run_dir)
    return stack.processes if stack is not None and stack.gateway_url == url.rstrip("/") else {}


def _print_json(url: str, readiness: Readiness, told: StackStatus | None, processes: dict[str, int]) -> None:
    import json

    body = {
        "url": url,
        "state": readiness.state,
        "detail": readiness.detail,
        "stack": told.model_dump() if told else None,
        "processes": processes,
    }
    typer.echo(json.dumps(body))


def _print(
    url: str, readiness: Readiness, told: StackStatus | None, processes: dict[str, int], *, named: bool
) -> None:
    from rich.table import Table
    from rich.text import Text

    from atlas.story_words import printable

    console = stdout()
    if readiness.state == "absent":
        console.print(Text(absent(url, named), "red"))
    elif told is None:
        console.print(Text.assemble(f"ATLAS at {url}: ", ("not ready", "bold yellow")))
        console.print(Text(f"  {printable(readiness.detail)}", "yellow"))
    else:
        state = ("ready", "bold green") if readiness.state == "ready" else ("not ready", "bold yellow")
        console.print(Text.assemble(f"ATLAS {told.version} at {url}: ", state))
        for name, problem in told.problems.items():
            console.print(Text(f"  {name}: {printable(problem)}", "yellow"))
        facts = Table.grid(padding=(0, 2))
        facts.add_row("model", Text(told.model or "the model server does not answer"))
        facts.add_row("tasks under way", f"{told.open_tasks:,}")
        letters = f"{told.dead_letters:,}" + ("  (atlas dlq list)" if told.dead_letters else "")
        facts.add_row("dead letters", Text(letters, "yellow" if told.dead_letters else ""))
        console.print(facts)
        queues = Table("queue", "waiting", "running", "workers", box=None, header_style="bold")
        for queue in told.queues:
            queues.add_row(queue.service, *(str(n) for n in (queue.waiting, queue.running, queue.workers)))
        console.print()
        console.print(queues, soft_wrap=False)
    if processes:
        console.print()
        listed = ", ".join(f"{name} ({pid})" for name, pid in processes.items())
        console.print(f"on this machine: {listed}", soft_wrap=False)
