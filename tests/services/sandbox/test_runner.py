"""What the runner does when things go wrong around it: real processes, really killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from atlas.contracts import Limits
from atlas.executor import ExecuteRequest, RunStatus
from services.sandbox import slot as slots
from services.sandbox.runner import Runner

pytestmark = pytest.mark.integration  # a real fork server and its runs

GOOD = ExecuteRequest(code="print(int(input()) + 1)", inputs=("1",))
SLEEP = ExecuteRequest(code="import time\ntime.sleep(1)\nprint(2)", inputs=("",))


_before: set[psutil.Process] = set()


@pytest.fixture
def runner() -> Iterator[Runner]:
    _before.clear()
    _before.update(psutil.Process().children(recursive=True))
    runner = Runner.start(jobs=2)
    yield runner
    runner.close()


def processes() -> list[psutil.Process]:
    """The launcher, the slot servers and the runs; not those of other tests."""
    return [p for p in psutil.Process().children(recursive=True) if p not in _before]


def answer(runner: Runner, request: ExecuteRequest = GOOD) -> str:
    run = runner.execute(request).runs[0]
    assert run.status is RunStatus.OK, run
    return run.output


def in_background(runner: Runner, request: ExecuteRequest) -> tuple[threading.Thread, list[str]]:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(answer(runner, request)))
    thread.start()
    time.sleep(0.4)
    return thread, found


@pytest.mark.parametrize("generation", [0, 1, 2], ids=["launcher", "slot server", "run"])
def test_a_run_whose_processes_are_killed_is_made_again(runner: Runner, generation: int) -> None:
    answer(runner)
    thread, found = in_background(runner, SLEEP)
    launcher = next(p for p in processes() if p.ppid() == os.getpid())
    victims = [[launcher], launcher.children(), [g for c in launcher.children() for g in c.children()]]
    for victim in victims[generation]:
        victim.send_signal(signal.SIGKILL)
    thread.join(20)
    assert found == ["2\n"]
    assert runner.retried >= 1
    assert answer(runner) == "2\n"


def test_between_runs_a_killed_launcher_is_replaced(runner: Runner) -> None:
    answer(runner)
    for process in processes():
        if process.ppid() == os.getpid():
            process.kill()
            process.wait(5)
    assert answer(runner) == "2\n"
    assert runner.restarts >= 1


def test_a_stopped_slot_server_does_not_hold_the_runner_for_ever(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "START_S", 0.5)
    answer(runner)
    launcher = next(p for p in processes() if p.ppid() == os.getpid())
    for child in launcher.children():
        child.suspend()
    assert answer(runner) == "2\n"


def test_a_slot_server_is_replaced_after_so_many_runs(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "RUNS_A_SERVER", 3)
    code = "import os\nprint(os.getpid())"
    pids = [int(answer(runner, ExecuteRequest(code=code, inputs=("",)))) for _ in range(8)]
    if runner.isolation == "namespaces":  # pids begin anew in each namespace
        assert max(pids) <= 5
    assert runner.restarts == 0


def test_close_ends_everything(runner: Runner) -> None:
    thread = threading.Thread(target=runner.execute, args=(SLEEP,))
    thread.start()
    time.sleep(0.3)
    left = processes()
    assert len(left) >= 3
    began = time.monotonic()
    runner.close()
    thread.join(5)
    assert time.monotonic() - began < 3
    _, alive = psutil.wait_procs(left, timeout=3)
    assert not alive
    assert runner.execute(GOOD).runs[0].status is RunStatus.INFRASTRUCTURE_ERROR


def test_descriptors_are_not_used_up(runner: Runner) -> None:
    many = ExecuteRequest(code="print(input())", inputs=tuple(map(str, range(20))))
    runner.execute(many)
    before = psutil.Process().num_fds()
    for _ in range(5):
        assert [r.output for r in runner.execute(many).runs] == [f"{n}\n" for n in range(20)]
        runner.execute(ExecuteRequest(code="(", inputs=("", "")))
        runner.execute(ExecuteRequest(code="1/0", inputs=("",) * 9, stop_on_error=True))
    assert psutil.Process().num_fds() == before


def test_many_inputs_compile_once(runner: Runner) -> None:
    # Compiling this takes a good part of the time limit: thirty times that would be over it.
    slow = "x = [" + "1 + 2j, " * 40_000 + "]\nprint(input())"
    runs = runner.execute(ExecuteRequest(code=slow, inputs=tuple(map(str, range(30))))).runs
    assert [run.output for run in runs] == [f"{n}\n" for n in range(30)]
    alone = runner.execute(ExecuteRequest(code=slow, inputs=("1",))).runs[0]
    assert sum(run.cpu_s for run in runs) < 15 * alone.cpu_s


@pytest.mark.parametrize("stop", [True, False])
def test_a_program_that_does_not_compile_fails_on_every_input(runner: Runner, stop: bool) -> None:
    request = ExecuteRequest(code="def (", inputs=("", "", ""), stop_on_error=stop)
    runs = runner.execute(request).runs
    assert [run.status for run in runs] == [RunStatus.COMPILE_ERROR] * (1 if stop else 3)
    assert "SyntaxError" in runs[0].error


def test_errors_name_their_line_whether_compiled_before_or_not(runner: Runner) -> None:
    for inputs in (("",), ("", "")):
        run = runner.execute(ExecuteRequest(code="x = 1\n\n1 / 0", inputs=inputs)).runs[-1]
        assert run.error == "ZeroDivisionError: division by zero (line 3)"


def test_numpy_has_a_fork_server_of_its_own(runner: Runner) -> None:
    assert "numpy" in runner.packages
    launchers = len(processes())
    answer(runner)
    assert len(processes()) <= launchers + 2
    code = (
        "import numpy as np\nfrom numpy.linalg import inv\nimport numpy.random, threading\n"
        "a = np.arange(1, 5).reshape(2, 2)\nprint(inv(a).round(1).tolist(), int((a @ a).sum()))\n"
        "print(threading.active_count(), len(numpy.random.default_rng(1).random(3)))"
    )
    limits = Limits(memory_mb=128)
    out = answer(runner, ExecuteRequest(code=code, inputs=("",), limits=limits))
    assert out == "[[-2.0, 1.0], [1.5, -0.5]] 54\n1 3\n"
    # A program that does not name it cannot reach it.
    sly = "print(__import__('num' + 'py'))"
    run = runner.execute(ExecuteRequest(code=sly, inputs=("",))).runs[0]
    assert "ModuleNotFoundError" in run.error


def test_the_order_of_a_set_is_the_same_every_time(runner: Runner) -> None:
    code = "print(list({'apple', 'pear', 'plum', 'fig', 'kiwi'}), hash('x'))"
    outputs = {answer(runner, ExecuteRequest(code=code, inputs=("",))) for _ in range(4)}
    assert len(outputs) == 1


def test_random_numbers_differ_from_run_to_run(runner: Runner) -> None:
    code = "import random\nprint(random.random())"
    assert len({answer(runner, ExecuteRequest(code=code, inputs=("",))) for _ in range(4)}) == 4


def test_a_run_leaves_nothing_behind_in_the_interpreter(runner: Runner) -> None:
    spoil = (
        "import builtins, json, sys, math\nbuiltins.print = None\njson.dumps = None\nmath.pi = 3\nsys.x = 1"
    )
    runner.execute(ExecuteRequest(code=spoil, inputs=("",) * 4))
    look = ExecuteRequest(code="import math, sys\nprint(round(math.pi, 2), hasattr(sys, 'x'))", inputs=("",))
    assert answer(runner, look) == "3.14 False\n"
