"""Which level is taken, what is said of those that do not hold, and that a leak stops the start."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from atlas.errors import StartupError
from services.sandbox import isolation, selfcheck
from services.sandbox.languages import PLAIN, Python
from services.sandbox.runner import Runner
from services.sandbox.selfcheck import ATTEMPTS, BY_LEVEL, Attempt

ROOT = Path(__file__).parents[3]


def test_a_program_that_names_numpy_or_scipy_gets_it() -> None:
    python = Python()
    assert python.packages()["numpy"] == np.__version__
    assert set(python.packages()) - {"sympy", "mpmath"} == {"numpy", "scipy"}
    assert python.flavour("import numpy as np\nfrom scipy.special import erfc") == "scientific"
    assert python.flavour("import sympy") == "scientific"
    assert python.flavour("import numpy as np") == "numpy"
    assert python.flavour("from numpy.linalg import inv") == "numpy"
    assert python.flavour("my_numpy_like = 1") == PLAIN
    for preload in python.flavours().values():
        assert all(Path(directory).is_dir() for directory in preload.directories)


def test_every_limit_is_tried_and_named() -> None:
    for attempts in BY_LEVEL.values():
        names = [attempt.what for attempt in (*ATTEMPTS, *attempts)]
        assert len(names) == len(set(names))


def test_the_first_level_that_holds_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def proved(level: str, jobs: int) -> object:
        tried.append(level)
        if level == "namespaces":
            raise StartupError("unshare: Operation not permitted")
        return "server"

    monkeypatch.setattr(isolation, "_proved", proved)
    monkeypatch.setattr(isolation, "is_gvisor", lambda: False)
    choice = isolation.choose("auto", 2)
    assert (choice.level, choice.server) == ("pod", "server")
    assert choice.why_not_stronger.startswith("level 'namespaces': unshare: Operation not permitted")
    tried.clear()
    with pytest.raises(StartupError, match=r"namespaces.*SANDBOX\.md"):
        isolation.choose("namespaces", 2)
    assert tried == ["namespaces"]


def test_no_level_is_a_refusal_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def proved(level: str, jobs: int) -> object:
        raise StartupError("no")

    monkeypatch.setattr(isolation, "_proved", proved)
    with pytest.raises(StartupError, match=r"'namespaces': no.*'pod': no"):
        isolation.choose("auto", 2)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ],
)
def test_what_closes_namespaces_is_said(
    file: str, content: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_number", lambda path: int(content) if path.endswith(file) else None)
    assert said in isolation.namespaces_hint()


def test_in_gvisor_one_program_runs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = isolation.Choice("gvisor", MagicMock(), "")
    monkeypatch.setattr("services.sandbox.runner.choose", lambda wanted, jobs: choice)
    runner = Runner.start(jobs=8)
    assert (runner.jobs, runner.isolation) == (1, "gvisor")
    runner.close()


@pytest.mark.integration
def test_gvisor_is_not_claimed_where_it_is_not() -> None:
    if isolation.is_gvisor():
        pytest.skip("this is gVisor")
    with pytest.raises(StartupError, match="RuntimeClass"):
        isolation.choose("gvisor", 1)


@pytest.mark.integration
@pytest.mark.parametrize("level", ["namespaces", "pod"])
def test_a_limit_that_does_not_take_stops_the_start(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for attempt in (*ATTEMPTS, *BY_LEVEL[level]):
        # What the attempt wants is made wrong: as if the limit had let it through.
        other = selfcheck.RunStatus.OK if attempt.status is not selfcheck.RunStatus.OK else attempt.status
        wrong = Attempt(attempt.what, attempt.code, other, "let through", attempt.wall_s)
        monkeypatch.setattr(selfcheck, "ATTEMPTS", (wrong,))
        monkeypatch.setitem(selfcheck.BY_LEVEL, level, ())
        with pytest.raises(StartupError, match=f"self-check of {attempt.what}"):
            isolation.choose(level, 1)  # type: ignore[arg-type]


@pytest.mark.integration
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become an ordinary user")
@pytest.mark.parametrize("level", ["namespaces", "pod", "auto"])
def test_an_ordinary_user_can_run_the_executor(level: str) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = Path(f"/usr/bin/python{version}")
    if not python.exists():
        pytest.skip(f"needs {python}: an ordinary user may not reach the Python of these tests")
    site = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [
            *("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", str(python), "-m"),
            *("services.sandbox.executor", "--check", "--isolation", level),
        ],
        env={"PYTHONPATH": f"{ROOT}:{site}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if "Permission denied" in done.stderr:
        pytest.skip("an ordinary user may not read this checkout")
    wanted = {"namespaces", "pod"} if level == "auto" else {level}
    assert done.stdout.strip() in wanted, done.stderr
