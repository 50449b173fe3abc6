"""Files that benchmark commands keep: one owner at a time, each file whole, each of a known version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from atlas.errors import Conflict, InfrastructureError
from atlas.files import sync_directory, take_lock

Stored = TypeVar("Stored", bound=BaseModel)


def lock(directory: Path, busy: str, advice: str = "choose another directory") -> int:
    """Create the directory and take its lock, which the kernel frees when this process ends.

    Raises:
        Conflict: another process has it; says `busy`.
        InfrastructureError: the directory cannot be written to; ends with the advice.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return take_lock(directory / ".lock")
    except BlockingIOError:
        raise Conflict(busy) from None
    except OSError as error:
        raise InfrastructureError(f"cannot write to {directory}: {error.strerror}; {advice}") from error


def read(model: type[Stored], path: Path, advice: str = "") -> Stored:
    """Read a JSON file of this contract.

    Raises:
        InfrastructureError: it cannot be read, or is of another version; ends with the advice.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InfrastructureError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        why = f"{path} is not a {model.__name__} of this version ({complaint(error)})"
        raise InfrastructureError("; ".join(filter(None, (why, advice)))) from error


def complaint(error: ValidationError) -> str:
    """Return what is wrong first, and where, without quoting what was there."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that any reader, at any moment and after any crash, finds the old or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
