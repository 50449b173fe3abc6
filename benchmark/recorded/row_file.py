"""Files of JSON lines that only grow. A kill leaves whole lines, and a last one that counts for nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pydantic import ValidationError

from atlas.contracts import Contract
from atlas.errors import InfrastructureError

Row = TypeVar("Row", bound=Contract)


class RowFile:
    """One writer's file. `with RowFile(path) as rows: rows.add(...)`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> RowFile:
        """Open it, without the line that a kill may have left half.

        Raises:
            InfrastructureError: it cannot be written.
        """
        try:
            whole = self._path.read_bytes().rfind(b"\n") + 1 if self._path.exists() else 0
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def add(self, rows: Iterable[Contract]) -> None:
        """Append rows; they are on the disk when this returns.

        Raises:
            InfrastructureError: they cannot be written.
        """
        data = "".join(f"{row.model_dump_json()}\n" for row in rows).encode("utf-8", "surrogatepass")
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise InfrastructureError(f"cannot write {self._path}: {error.strerror}") from error


def read_rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    """Yield the whole lines of a file, if it is there; a last line that a kill left half is no line.

    Raises:
        InfrastructureError: the file cannot be read, naming the line.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    yield _row(path, number, line, kind)
    except OSError as error:
        raise InfrastructureError(f"cannot read {path}: {error.strerror}") from error


def _row(path: Path, number: int, line: bytes, kind: type[Row]) -> Row:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InfrastructureError(f"{path}: line {number}: {where}: {first['msg']}") from error
