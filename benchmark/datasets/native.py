"""Reads a data set's own files, whatever they are: JSON Lines (also gzipped), a JSON array, or Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import BadInput, ConfigError
from benchmark.datasets.hub import fetch
from benchmark.datasets.lcb_jsonl import Row, json_lines
from benchmark.datasets.source import Request


@dataclass(frozen=True)
class Release:
    """One file of a data set on Hugging Face, and the commit it is pinned to."""

    name: str
    repo: str
    file: str
    revision: str

    def obtained(self, request: Request) -> tuple[Path, str | None]:
        """Return the file of one's own that was named, or the downloaded one and its commit.

        Raises:
            BadInput: the request asks for what this has not: a release, or a revision of one's own copy.
            InfrastructureError: the download failed.
        """
        request.refuse(self.name, "release")
        if request.path is not None:
            request.refuse("a copy of one's own", "revision")
            return request.path, None
        (path,), commit = fetch(self.repo, [self.file], request.revision or self.revision, request.data_dir)
        return path, commit


def native_rows(path: Path) -> list[Row]:
    """The file's rows in order, at least one; a row's number counts lines, or array entries, from 1.

    Raises:
        BadInput: the file cannot be read, is cut off or empty, or a row is not an object.
        ConfigError: it is Parquet, and pyarrow is not installed.
    """
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix == ".json":
        return _array(path)
    return list(json_lines(path))


def _array(path: Path) -> list[Row]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"{path}: cannot be read: {e}") from e
    except (ValueError, RecursionError) as e:
        raise BadInput(f"{path}: is not JSON (cut off?): {e}") from e
    if not isinstance(values, list):
        raise BadInput(f"{path}: is not a JSON array")
    return _rows(path, values)


def _parquet(path: Path) -> list[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as e:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow: pip install 'atlas[benchmark]'") from e
    try:
        values = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as e:
        raise BadInput(f"{path}: cannot be read: {e}") from e
    return _rows(path, values)


def _rows(path: Path, values: list[object]) -> list[Row]:
    if not values:
        raise BadInput(f"{path}: holds no rows")
    rows: list[Row] = []
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise BadInput(f"{path}: row {number}: is not an object")
        rows.append(Row(path, number, value))
    return rows
