"""LiveCodeBench's code generation tasks: releases, slices of releases, and whether all rows are there.

Its data set `livecodebench/code_generation_lite` is one JSON Lines file per release, each with what that
release added. `release_vN` is everything up to vN, `vN` what vN added, `vM_vN` what vM to vN added. Rows are
read by `lcb_jsonl`, private tests through its unpickler that can make nothing but a string.
"""

from __future__ import annotations

import re
from pathlib import Path

from atlas.errors import BadInput
from benchmark.datasets.hub import fetch
from benchmark.datasets.lcb_jsonl import read_rows
from benchmark.datasets.source import Opened, Request, open_rows

REPO = "livecodebench/code_generation_lite"
REVISION = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"  # 2025-06-05, the first with release v6
ROWS = (400, 111, 101, 101, 167, 175)
"""Rows that each release added; summed up 400, 511, 612, 713, 880 and 1055."""

_RELEASE = re.compile(r"release_v([1-6])|v([1-6])(?:_v([1-6]))?")


def file_name(version: int) -> str:
    """The file with what release `version` (from 1) added."""
    return "test.jsonl" if version == 1 else f"test{version}.jsonl"


FILE_ROWS = {file_name(version): rows for version, rows in enumerate(ROWS, start=1)}


def versions(release: str) -> range:
    """Which releases' additions a name stands for.

    Raises:
        BadInput: it is none of the names.
    """
    found = _RELEASE.fullmatch("release_v6" if release == "release_latest" else release)
    if found is None:
        raise BadInput(f"no release {release!r}: LiveCodeBench has release_v1 to release_v6, v1 to v6, v5_v6")
    upto, first, last = (int(group) if group else None for group in found.groups())
    if upto is not None:
        return range(1, upto + 1)
    begin = first or 1
    if last is not None and last < begin:
        raise BadInput(f"release {release!r} ends before it begins")
    return range(begin, (last or begin) + 1)


def open_livecodebench(request: Request) -> Opened:
    """Download a release, or read the user's own copy: a directory of its files, or one of them.

    Raises:
        BadInput: a download without a release, a file that is not there or not whole (naming file and row).
        InfrastructureError: the download failed.
    """
    if request.path is None:
        if request.release is None:
            raise BadInput("livecodebench: say which release (all of it is 4.5 GB): --release v6, say")
        names = [file_name(version) for version in versions(request.release)]
        files, commit = fetch(REPO, names, request.revision or REVISION, request.data_dir)
        counts = FILE_ROWS if commit == REVISION else {}  # another commit may have other rows
        return open_rows("livecodebench", files, revision=commit, counts=counts)
    request.refuse("a copy of one's own", "revision")
    if request.path.is_file():
        if request.release is not None:
            raise BadInput(
                f"{request.path}: is one file; --release chooses among the files of a directory "
                f"(livecodebench={request.path.parent}) or of a download"
            )
        files = [request.path]
    else:
        files = _in_directory(request.path, request.release)
    return open_rows("livecodebench", files, counts=_known_counts(files))


def is_copy(directory: Path) -> bool:
    """Whether a directory holds files that are called as LiveCodeBench's are."""
    return any(_there(directory, name) for name in FILE_ROWS)


def is_official(path: Path) -> bool:
    """Whether a file is called and formed as one of LiveCodeBench's own, not as normalised rows.

    Raises:
        BadInput: it cannot be read.
    """
    if path.name.removesuffix(".gz") not in FILE_ROWS:
        return False
    return "private_test_cases" in next(iter(read_rows(path))).fields


def _in_directory(directory: Path, release: str | None) -> list[Path]:
    wanted = [file_name(v) for v in versions(release or f"release_v{len(ROWS)}")]
    found = {name: path for name in wanted if (path := _there(directory, name))}
    missing = [name for name in wanted if name not in found]
    if not found or (release is not None and missing):
        raise BadInput(f"{directory}: has no {', '.join(missing)}")
    return list(found.values())


def _there(directory: Path, name: str) -> Path | None:
    return next((p for p in (directory / name, directory / f"{name}.gz") if p.is_file()), None)


def _known_counts(files: list[Path]) -> dict[str, int]:
    return {path.name: FILE_ROWS[path.name.removesuffix(".gz")] for path in files if is_official(path)}
