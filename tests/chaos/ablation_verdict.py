"""What kills of an ablation changed: two of its directories compared, but for times and ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.request_log import Request
from tests.chaos.runner_verdict import Finished, differences, differing
from tests.chaos.runner_verdict import read as read_run

# The name of a plan's runs at the gateway holds what is drawn when its directory is begun.
IDS = {"id", "run_id"}
# Of the rows of the report: where, when, how long. `runs` are directories.
ROW_TIMES = {
    "runs",
    "seconds",
    "seconds_per_task",
    "model_share",
    "executor_share",
    "overhead_share",
    "timed",
}
ROWS = ("conditions", "pairs")


@dataclass(frozen=True)
class Ablation:
    """An ablation's directory when it says that all is done, and what its stack's journal holds.

    `cells`: its runs by name. `result`: its last line of JSON. `at_gateway`: how many tasks the gateway has.
    """

    cells: dict[str, Finished]
    result: dict[str, Any]
    at_gateway: int
    unfinished_files: tuple[str, ...]

    @property
    def records(self) -> int:
        """How many tasks have a record."""
        return sum(len(cell.records) for cell in self.cells.values())


@dataclass(frozen=True)
class Drawn:
    """The samples a pool had at a time at which nobody drew into it, by name (`request_log.choice_name`)."""

    time: float
    choices: frozenset[str]


def read(directory: Path, journals: Mapping[str, str], result: dict[str, Any]) -> Ablation:
    """Read a finished ablation; `journals` are the gateway's, by the id of the task there."""
    runs = sorted(path for path in (directory / "runs").iterdir())
    return Ablation(
        cells={run.name: read_run(run, dict(journals)) for run in runs},
        result=result,
        at_gateway=len(journals),
        unfinished_files=tuple(sorted(str(path.relative_to(directory)) for path in directory.rglob("*.tmp"))),
    )


def ablation_differences(calm: Ablation, shaken: Ablation) -> list[str]:
    """Say in words what differs: cells, tasks, fields of records, of results and of the report's rows."""
    found = []
    for name in sorted(calm.cells.keys() | shaken.cells.keys()):
        one, other = calm.cells.get(name), shaken.cells.get(name)
        if one is None or other is None:
            found.append(f"{name}: in one of the two only")
            continue
        found += [f"{name}: {line}" for line in differences(one, other, ignored=IDS)]
    for kind in ROWS:
        then, now = (_rows(each.result[kind]) for each in (calm, shaken))
        found += [f"{kind}: {line}" for line in differing(then, now)]
    return found


def redrawn(requests: Sequence[Request], deaths: Sequence[float], pool: Sequence[Drawn]) -> int:
    """Count the samples that the model server drew though the pool had them.

    It had those it was seen to have at an earlier kill, and those of an answer that was whole, once nobody
    was killed since that request began.
    """
    count = 0
    whole: dict[str, list[Request]] = {}
    for request in sorted(requests, key=lambda each: each.begin):
        kept: Set[str] = frozenset().union(*(each.choices for each in pool if each.time <= request.begin))
        for choice in request.choices:
            earlier = whole.setdefault(choice, [])
            count += choice in kept or any(_kept(each, request, deaths) for each in earlier)
            earlier.append(request)
    return count


def _kept(earlier: Request, request: Request, deaths: Sequence[float]) -> bool:
    if earlier.end is None or earlier.end > request.begin:
        return False
    return not any(earlier.begin <= death <= request.begin for death in deaths)


def _rows(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows by place, without times."""
    kept = [{name: value for name, value in row.items() if name not in ROW_TIMES} for row in rows]
    return {str(place): row for place, row in enumerate(kept)}
