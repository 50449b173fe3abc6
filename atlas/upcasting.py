"""What older releases wrote, made readable: stored events and commands carry the schema's version.

An event is never edited: what is in a journal stays as it was written, and is *upcast* when it is read, by
one pure function for each version, one after the other. A new field with a default needs none; whoever
renames, removes or reinterprets a field raises `SCHEMA_VERSION` and adds the function that leads there.

    1  until 2026-11: no version was written
    2  a model call names its server, since there may be several; a slot means nothing without one
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atlas.errors import SchemaTooNew

SCHEMA_VERSION = 2
UNVERSIONED = 1

Stored = dict[str, Any]
Upcast = Callable[[Stored], Stored]


def upcast_event(event: Stored, version: int) -> Stored:
    """Return a stored event as this release would have stored it.

    Raises:
        SchemaTooNew: a later release wrote it.
    """
    return _upcast(event, version, EVENTS)


def upcast_command(command: Stored, version: int) -> Stored:
    """Return a queued command as this release would have queued it.

    Raises:
        SchemaTooNew: a later release queued it.
    """
    return _upcast(command, version, COMMANDS)


def _upcast(stored: Stored, version: int, steps: Mapping[int, Upcast]) -> Stored:
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"a newer release wrote this (schema {version}; this one reads up to {SCHEMA_VERSION}): "
            "upgrade this service too"
        )
    for step in range(version, SCHEMA_VERSION):
        if step in steps:
            stored = steps[step](stored)
    return stored


def _slots_have_servers(event: Stored) -> Stored:
    if event.get("type") != "ModelCallFinished":
        return event
    return {**event, "slot": None, "server": None}


# From each version to the next; where a version is left out nothing changed.
EVENTS: Mapping[int, Upcast] = {1: _slots_have_servers}
COMMANDS: Mapping[int, Upcast] = {}
