import json

import pytest

from benchmark import sandbox

pytestmark = pytest.mark.integration  # real executors and what they are compared with


def test_the_figures_are_those_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert sandbox.main(["--json", "--rounds", "1", "--seconds", "0.2"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["level"] in ("namespaces", "pod", "gvisor")
    assert figures["isolated_per_s"] > 0
    assert figures["cpu_ms_per_run"] > 0
    ours, bare = figures["ways"]["atlas"]["per_s"], figures["ways"]["subprocess"]["per_s"]
    assert figures["vs_subprocess"] == pytest.approx(ours["median"] / bare["median"], abs=0.01)
    assert {"vs_bwrap", "vs_multiprocessing", "added_ms_namespaces", "added_ms_pod"} <= figures.keys()
    for level in ("namespaces", "pod"):
        if figures[f"added_ms_{level}"] is not None:
            assert figures[f"added_ms_{level}"] < figures[f"round_trip_ms_{level}"]
