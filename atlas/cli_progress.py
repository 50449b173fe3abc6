"""Progress of a model pull, drawn on stderr with rich."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from atlas import models
from atlas.catalogue import CATALOGUE


def pull_shown(name: str, directory: Path) -> list[Path]:
    """Pull a model, and its draft if it has one, drawing progress; return the files.

    Raises:
        ModelFileError: from the pull.
    """
    draft = CATALOGUE[name].draft if name in CATALOGUE else None
    paths = []
    for each in (name, draft) if draft else (name,):
        with PullProgress(each) as progress:
            paths.append(models.pull(each, directory, progress))
    return paths


class PullProgress:
    """A bar for bytes in place and a line per message (see `atlas.model_sources.Progress`)."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> PullProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def message(self, text: str) -> None:
        """Print one line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def bytes(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)
