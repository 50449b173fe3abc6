"""The stack that was installed from here: its address and key, in `DATA_DIR/run/installed.json`.

The file has the key in it, so only its owner may read it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from atlas import running_stack
from atlas.files import write_whole

if TYPE_CHECKING:
    from atlas.config import Settings

NAME = "installed.json"


class InstalledStack(BaseModel):
    """Where an installed gateway is, and what opens it; the rest is for who looks after it."""

    model_config = ConfigDict(frozen=True)

    gateway_url: str
    api_key: str
    kubeconfig: str
    namespace: str


def find(run_dir: Path) -> InstalledStack | None:
    """Return what was installed from here; None where nothing was, or it is not for this user to know."""
    try:
        return InstalledStack.model_validate_json((run_dir / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write(run_dir: Path, stack: InstalledStack, owner: tuple[int, int] | None = None) -> Path:
    """Write the file, mode 0600; `owner`: the user and group it is for, where root installs for somebody.

    Raises:
        OSError: from the file system.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        for each in (run_dir, run_dir.parent):
            os.chown(each, *owner)
    path = run_dir / NAME
    write_whole(path, stack.model_dump_json(indent=1) + "\n", owner=owner)
    return path


def forget(run_dir: Path) -> None:
    """Remove the file, if it is there."""
    (run_dir / NAME).unlink(missing_ok=True)


def gateway_of(settings: Settings, target: str | None = None) -> tuple[str, str | None]:
    """Return the URL of the gateway that is meant, and the key that opens it.

    That is `target`, else the stack that runs on DATA_DIR, else the one installed from here, else the
    settings'. The key of the settings goes before the one that was installed.
    """
    stack = find(settings.run_dir)
    if target is None and stack is not None and running_stack.find(settings.run_dir) is None:
        target = stack.gateway_url
    if stack is not None and target is not None and target.rstrip("/") == stack.gateway_url:
        return target, settings.api_key or stack.api_key
    return target or settings.gateway_url, settings.api_key
