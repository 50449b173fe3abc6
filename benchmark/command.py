"""What the benchmark's commands have in common: how they end, and numbers on their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel
from rich.console import Console

from atlas.cancellation import Interrupted
from atlas.errors import AtlasError, InfrastructureError, StartupError

COMPLETE, FAILED, WITH_ERRORS, INTERRUPTED = 0, 1, 3, 130
Result = TypeVar("Result", bound=BaseModel)


def carry_out(
    work: Callable[[], Result],
    show: Callable[[Result, Console], object],
    err: Console,
    *,
    json: bool,
    again: str = "",
) -> Result | int:
    """Do the work and show its result; return it, or the exit code of how it failed.

    With `json` the last line of stdout is the result as one JSON object, and what people read goes to `err`.

    Args:
        work: may raise AtlasError or Interrupted.
        show: prints a result.
        err: where failures are told.
        json: end stdout with the result as JSON.
        again: how to go on, told where that may help.
    """
    try:
        result = work()
    except AtlasError as error:
        err.print(f"{error.title}: {error}", style="red", markup=False, highlight=False)
        if again and isinstance(error, (InfrastructureError, StartupError)):
            err.print(again, markup=False, highlight=False)
        return FAILED
    except Interrupted:
        err.print("; ".join(filter(None, ("interrupted", again))), markup=False, highlight=False)
        return INTERRUPTED
    show(result, err if json else Console(soft_wrap=True))
    if json:
        print(result.model_dump_json(), flush=True)
    return result


def whole(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Return a reader of whole numbers, for argparse."""
    upto = "" if most == 2**31 - 1 else f" to {most}"

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}{upto}")
        return int(text)

    return read
