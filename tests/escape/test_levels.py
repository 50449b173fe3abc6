"""Which level the executor comes up at where namespaces are closed, and what it says then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from atlas.errors import StartupError
from services.sandbox.forkserver import landlock
from services.sandbox.runner import Runner

pytestmark = pytest.mark.integration

REPO = Path(__file__).parents[2]
CHECK = (sys.executable, "-m", "services.sandbox.executor", "--check")
# What the executor's message says a profile must open.
NEEDED = "unshare,clone,mount,umount2,pivot_root,mount_setattr"


@pytest.fixture(scope="module", autouse=True)
def _both_levels_hold_here() -> None:
    try:
        Runner.start(jobs=1, isolation="namespaces").close()
    except StartupError as error:
        pytest.skip(f"namespaces are closed here already: {error}")
    if not landlock.abi():
        pytest.skip("this kernel has no Landlock")


def closed(*command: str, opened: str = "") -> subprocess.CompletedProcess[str]:
    options = ["--open", opened] if opened else []
    return subprocess.run(
        [sys.executable, "-m", "tests.support.closed_namespaces", *options, *command],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_launcher_closes_namespaces():
    assert "not permitted" in closed("unshare", "--user", "true").stderr
    assert closed("true").returncode == 0


def test_where_namespaces_are_closed_the_level_is_pod_and_the_profile_that_opens_them_is_named():
    done = closed(*CHECK)
    assert (done.returncode, done.stdout) == (0, "pod\n"), done.stderr
    assert "level 'namespaces'" in done.stderr
    assert "RuntimeDefault" in done.stderr
    assert NEEDED.replace(",", ", ").replace(", mount_setattr", " and mount_setattr") in done.stderr


def test_a_demand_for_namespaces_where_they_are_closed_is_refused():
    done = closed(*CHECK, "--isolation", "namespaces")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot isolate programs" in done.stderr
    assert "RuntimeDefault" in done.stderr


def test_a_profile_that_opens_what_the_message_names_is_enough():
    done = closed(*CHECK, opened=NEEDED)
    assert (done.returncode, done.stdout) == (0, "namespaces\n"), done.stderr
