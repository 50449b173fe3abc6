"""Resource verdicts on a crowded machine: a program is not to blame for waiting."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from atlas.contracts import Limits
from atlas.executor import ExecuteRequest, RunStatus
from services.sandbox.runner import Runner

pytestmark = pytest.mark.integration  # real runs beside real load

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\nprint('done')"


@pytest.fixture
def crowd() -> Iterator[None]:
    """Three endless programs for each core."""
    loop = [sys.executable, "-S", "-c", "while True: pass"]
    hogs = [subprocess.Popen(loop) for _ in range(3 * (os.cpu_count() or 1))]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


@pytest.mark.usefixtures("crowd")
def test_time_limits_count_cpu_time_not_waiting() -> None:
    runner = Runner.start(jobs=2)
    try:
        limits = Limits(time_s=0.4)
        fine = runner.execute(ExecuteRequest(code=BUSY.format(0.25), inputs=("",) * 6, limits=limits)).runs
        assert [run.status for run in fine] == [RunStatus.OK] * 6
        slow = runner.execute(ExecuteRequest(code=BUSY.format(0.6), inputs=("",) * 2, limits=limits)).runs
        assert [run.status for run in slow] == [RunStatus.TIME_LIMIT] * 2
        assert all("of CPU" in run.error for run in slow)
    finally:
        runner.close()
