"""Which steps of an installation are done, in a file on the machine: so that it goes on where it stopped."""

from __future__ import annotations

import json

from atlas.k3s.machine import Machine

STATE_FILE = "/var/lib/atlas/install.json"  # of the machine; an installation on another cluster has its own


def read_state(machine: Machine, file: str = STATE_FILE) -> dict[str, str]:
    """Return, by step, what it was done with (a digest); nothing where none was, or the file is damaged.

    A damaged file costs no more than doing again what holds already.
    """
    try:
        found = json.loads(machine.text(file))["done"]
    except (ValueError, LookupError, TypeError):
        return {}
    return {str(step): str(digest) for step, digest in found.items()} if isinstance(found, dict) else {}


def record(machine: Machine, step: str, digest: str, file: str = STATE_FILE) -> None:
    """Note that a step is done."""
    write(machine, read_state(machine, file) | {step: digest}, file)


def write(machine: Machine, done: dict[str, str], file: str = STATE_FILE) -> None:
    """Replace the file."""
    machine.write(file, json.dumps({"done": done}, indent=1) + "\n")
