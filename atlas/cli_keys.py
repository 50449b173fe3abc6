"""`atlas keys`: who may use a gateway that listens beyond its own machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from atlas.cli_common import ConfigOption, JsonOption, group, run, settings_of, stderr, stdout

if TYPE_CHECKING:
    from atlas.api_keys import ApiKeys

T = TypeVar("T")
REDIS_PATIENCE_S = 5.0
DAY_S = 86_400.0
ADVICE = (
    "This is the only time the key is shown. Clients send it as `Authorization: Bearer KEY`; "
    "atlas itself takes it from ATLAS_API_KEY."
)

app = group(
    "API keys: who may use a gateway that listens beyond its own machine.\n\n"
    "They are made and revoked on the gateway's machine, straight in its Redis: that of REDIS_URL, else that "
    "of the stack running on DATA_DIR. Only their hashes are kept.\n\n"
    "Examples:\n"
    "  atlas keys create laptop\n"
    "  export ATLAS_API_KEY=$(atlas keys create ci --days 90)\n"
    "  atlas keys list\n"
    "  atlas keys revoke laptop"
)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="who or what it is for", show_default=False)],
    days: Annotated[
        float | None, typer.Option("--days", min=0.01, metavar="N", help="for how long (else for ever)")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it, for the only time, on standard output.

    Several keys may bear one name, so that a new one can be handed out before the old one is revoked.

    Examples:
      atlas keys create laptop
      export ATLAS_API_KEY=$(atlas keys create ci --days 90)
    """
    key, info = _with_keys(config, lambda keys: keys.create(name, days and days * DAY_S))
    typer.echo(key)
    stderr().print(f"{ADVICE} Revoke it with `atlas keys revoke {info.id}`.", markup=False)


@app.command("list")
def list_keys(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the keys that were not revoked, oldest first.

    A key itself is not kept: it is shown by its last four characters.

    Examples:
      atlas keys list
    """
    from rich.table import Table

    from atlas.cli_tasks import age

    found = _with_keys(config, lambda keys: keys.list())
    if as_json:
        for info in found:
            typer.echo(info.model_dump_json())
        return
    table = Table("id", "name", "key", "age", "expires", box=None, header_style="bold")
    now = time.time()
    for info in found:
        left = "never" if info.expires_at is None else f"in {age(info.expires_at - now)}"
        expires = "[red]expired[/]" if info.expired else left
        table.add_row(info.id, info.name, f"…{info.last4}", age(now - info.created_at), expires)
    stdout().print(table, soft_wrap=False)


@app.command("revoke")
def revoke_key(
    which: Annotated[
        str, typer.Argument(metavar="NAME", help="the key's name, or its id", show_default=False)
    ],
    config: ConfigOption = None,
) -> None:
    """Revoke a key: the very next request with it is refused.

    Where several keys bear the name, it takes an id; see atlas keys list.

    Examples:
      atlas keys revoke laptop
      atlas keys revoke 1f0c9e2ab734
    """
    info = _with_keys(config, lambda keys: keys.revoke(which))
    stderr().print(f"revoked {info.name} ({info.id}, …{info.last4})", markup=False)


def _with_keys(config: Path | None, work: Callable[[ApiKeys], Awaitable[T]]) -> T:
    """Do something with the keys of the settings' stack.

    Raises:
        StartupError: its Redis is not known, or does not answer.
    """
    from redis.exceptions import RedisError

    from atlas.api_keys import ApiKeys
    from atlas.errors import StartupError
    from atlas.redis_client import connect
    from atlas.running_stack import redis_url_of

    url = redis_url_of(settings_of(config))

    async def open_and_work() -> T:
        redis = connect(url)
        try:
            await asyncio.wait_for(redis.ping(), REDIS_PATIENCE_S)
            return await work(ApiKeys(redis))
        except (RedisError, asyncio.TimeoutError) as error:
            raise StartupError(f"Redis cannot be reached ({type(error).__name__}); is it running?") from error
        finally:
            await redis.aclose()

    return run(open_and_work())
