"""The directory of an ablation, held by one program at a time, and never of two configurations.

plan.json        what it was begun with, and its hash
runs/NAME/       a run directory (benchmark.run_store) for each cell
MODEL/           the model's samples (pool/) and its stack's journal (stack/)
report/          the report of the last pass
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from atlas.contracts import Contract
from atlas.errors import Conflict
from benchmark.ablation.plan import Cell, Plan, model_name
from benchmark.datasets.selection import Loaded
from benchmark.measure import configuration
from benchmark.run_store import RunStore, content_sha256, differences
from benchmark.stored import lock, read, write_atomic


class PlanFile(Contract):
    """`plan.json`. `id` makes the runs' names unique on a gateway that other plans use too."""

    version: Literal[1] = 1
    id: str
    created_at: str
    configuration: dict[str, Any]
    configuration_sha256: str


class AblationStore:
    """Use `with AblationStore(directory, plan, loaded) as store`."""

    def __init__(self, directory: Path, plan: Plan, loaded: Loaded) -> None:
        self.directory = directory
        self.plan = plan
        self.loaded = loaded
        self.file: PlanFile | None = None
        self._lock: int | None = None

    def __enter__(self) -> AblationStore:
        """Take the lock; begin the directory, or see that it was begun with the same configuration.

        Raises:
            Conflict: another program works on it, or it was begun with another configuration.
            InfrastructureError: the directory cannot be used.
        """
        self._lock = lock(self.directory, f"another ablation works on {self.directory}")
        try:
            self.file = self._begun()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def run(self, cell: Cell) -> RunStore:
        """Return the store of a cell's run, to be entered."""
        if self.file is None:
            raise RuntimeError("the store is not open")
        asked = configuration(self.loaded, cell.variant.name, cell.seed)
        return RunStore(
            self.directory / "runs" / cell.name,
            asked,
            self.loaded.sources,
            self.loaded.excluded,
            run_id=f"{self.plan.name}-{self.file.id}/{cell.name}",
        )

    def model_directory(self, model: str | None) -> Path:
        """Return where what belongs to a model is kept."""
        return self.directory / model_name(model)

    def _begun(self) -> PlanFile:
        path = self.directory / "plan.json"
        now = configuration_of(self.plan, self.loaded)
        if not path.exists():
            file = PlanFile(
                id=secrets.token_hex(4),
                created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                configuration=now,
                configuration_sha256=_sha256(now),
            )
            write_atomic(path, file.model_dump_json(indent=1) + "\n")
            return file
        file = read(PlanFile, path, "take another --dir")
        if file.configuration_sha256 != _sha256(now):
            differ = "; ".join(differences(file.configuration, now))
            raise Conflict(
                f"{self.directory} was begun with another configuration: {differ}. "
                "Take the plan as it was, or another --dir"
            )
        return file


def configuration_of(plan: Plan, loaded: Loaded) -> dict[str, Any]:
    """Return what decides the plan's results: the cells, and the tasks by content, not by file."""
    return {
        "dataset": loaded.selection.label,
        "dataset_sha256": content_sha256(loaded.tasks),
        "tasks": len(loaded.tasks),
        "cells": {cell.name: cell.model_dump(mode="json") for cell in plan.cells},
    }


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
