"""Any child process: it is logged, reported when it ends early, and dies with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from embedded_bench import eventually, running

from atlas.embedded.process import PLAIN_ENV, Child, plain_environment, short_socket
from atlas.errors import StartupError

SLEEPER = [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True); time.sleep(600)",
]


def test_a_child_is_logged_and_stopped(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", SLEEPER, tmp_path)
    eventually(lambda: child.tail() == "hello")
    assert os.getpgid(child.pid) == child.pid  # Ctrl-C in our terminal does not reach it
    child.stop()
    assert not child.alive
    child.stop()
    assert "was killed by SIGTERM" in child.ended()


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    child = Child.spawn("deaf", DEAF, tmp_path)
    eventually(lambda: child.tail() == "deaf")
    child.stop(timeout_s=0.2)
    assert child.popen.returncode == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; p = subprocess.Popen({SLEEPER!r}); print(p.pid, flush=True); p.wait()"
    child = Child.spawn("nested", [sys.executable, "-c", nested], tmp_path)
    eventually(lambda: "hello" in child.tail())
    inner = int(child.tail().splitlines()[0])
    child.stop()
    eventually(lambda: not running(inner))


def test_a_child_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    child = Child.spawn("broken", [sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path)
    with pytest.raises(StartupError, match=r"broken exited with 3; the end of .*broken\.log:\nwhy"):
        child.wait_ready(lambda: False, timeout_s=10)


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    child = Child.spawn("idle", SLEEPER, tmp_path)
    with pytest.raises(StartupError, match="idle was not ready after 0 s"):
        child.wait_ready(lambda: False, timeout_s=0.1)
    assert not child.alive


def test_a_command_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    child = Child.spawn("nothing", ["/no/such/program"], tmp_path)
    with pytest.raises(StartupError, match="No such file"):
        child.wait_ready(lambda: False, timeout_s=10)


def test_the_log_of_an_earlier_run_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text("old news\n")
    child = Child.spawn("quiet", [sys.executable, "-c", ""], tmp_path)
    eventually(lambda: not child.alive)
    assert child.tail() == ""


def test_children_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from atlas.embedded.process import Child\n"
        f"print(Child.spawn('s', {SLEEPER!r}, Path({str(tmp_path)!r})).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: "hello" in (tmp_path / "s.log").read_text())
        parent.kill()
    eventually(lambda: not running(pid), timeout_s=2)


def test_a_long_run_dir_gets_a_short_private_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    first, second = short_socket(deep, "redis.sock"), short_socket(deep, "redis.sock")
    assert first == second
    assert len(os.fsencode(first)) < 108
    assert first.parent.stat().st_mode & 0o777 == 0o700
    first.parent.chmod(0o755)
    with pytest.raises(StartupError, match="not a private directory"):
        short_socket(deep, "redis.sock")
    first.parent.rmdir()
    assert short_socket(Path("/run"), "redis.sock") == Path("/run/redis.sock")


def test_secrets_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_REDIS_URL", "redis://:secret@h/0")
    environment = plain_environment(A="1")
    assert set(environment) <= {*PLAIN_ENV, "A"}
    assert environment["A"] == "1"
    assert environment["PATH"] == os.environ["PATH"]


def test_the_log_names_the_cause_in_one_line(tmp_path: Path) -> None:
    child = Child.spawn("sleeper", SLEEPER, tmp_path)
    child.kill()
    assert child.how_ended() == "sleeper was killed by SIGKILL"
