import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from atlas.contracts import Example, Limits, Problem
from atlas.errors import StartupError
from atlas.executor import ExecuteRequest, ExecutorClient, Run, RunStatus
from atlas.judge import judge
from services.sandbox import executor as server
from services.sandbox import selfcheck

pytestmark = pytest.mark.integration  # real executors and their children


def start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "services.sandbox.executor", "--uds", str(path), "--jobs", "2"]
    process = subprocess.Popen(command, cwd=Path(server.__file__).parents[2])
    deadline = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None, "the executor did not start"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("x") / "e.sock"
    process = start(path)
    yield path
    process.terminate()
    assert process.wait(10) == 0
    assert not path.exists()


def get(path: Path, url: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://executor") as http:
        return http.get(url)


async def execute(path: Path, request: ExecuteRequest) -> list[Run]:
    async with ExecutorClient(f"unix:{path}") as client:
        return list((await client.execute(request)).runs)


async def test_runs_keep_the_order_of_the_inputs(socket_path: Path) -> None:
    code = "import time\nn = int(input())\ntime.sleep(0.2 if n == 0 else 0)\nprint(n)"
    runs = await execute(socket_path, ExecuteRequest(code=code, inputs=tuple(map(str, range(6)))))
    assert [run.output for run in runs] == [f"{n}\n" for n in range(6)]


async def test_stop_on_error_ends_with_the_first_failure(socket_path: Path) -> None:
    code = "print(1 // int(input()))"
    request = ExecuteRequest(code=code, inputs=("1", "0", "1", "0", "1"), stop_on_error=True)
    runs = await execute(socket_path, request)
    assert [run.status for run in runs] == [RunStatus.OK, RunStatus.RUNTIME_ERROR]


async def test_a_long_request_does_not_starve_a_short_one(socket_path: Path) -> None:
    slow = ExecuteRequest(code="import time\ntime.sleep(0.3)", inputs=("",) * 12)
    task = asyncio.create_task(execute(socket_path, slow))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await execute(socket_path, ExecuteRequest(code="print(1)", inputs=("",)))
    assert time.monotonic() - began < 1.2
    assert not task.done()
    await task


async def test_judge_over_the_real_executor(socket_path: Path) -> None:
    problem = Problem(statement="Add.", kind="function", entry_point="add")
    tests = [Example(input="1\n2", output="3"), Example(input="[1]\n[2]", output="[1,2]")]
    async with ExecutorClient(f"unix:{socket_path}") as client:
        assert await client.ready() is None
        execution = await judge(
            client, code="def add(a, b): return a + b", problem=problem, tests=tests, checker="official"
        )
    assert execution.all_passed
    assert execution.isolation.startswith("subprocess+seccomp")


def test_health_and_environment(socket_path: Path) -> None:
    assert get(socket_path, "/healthz").status_code == 200
    assert get(socket_path, "/readyz").json()["isolation"].startswith("subprocess+seccomp")
    environment = get(socket_path, "/v1/environment").json()
    assert environment["jobs"] == 2
    assert environment["default_limits"] == Limits().model_dump()


def test_only_the_owner_may_connect(socket_path: Path) -> None:
    assert socket_path.stat().st_mode & 0o077 == 0


def test_bad_input_is_refused(socket_path: Path) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket_path)), base_url="http://e") as http:
        for body in ({"code": "x"}, {"code": "x", "inputs": ["1"], "expected": ["1"]}):
            assert http.post("/v1/execute", json=body).status_code == 422


def test_a_taken_socket_is_a_clear_error(socket_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot listen"):
        server.listen(str(socket_path), "", 0)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server.listen(path, "", 0).close()
    server.listen(path, "", 0).close()


def busy(
    path: Path, process: subprocess.Popen[bytes]
) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A client with two endless programs, and the processes that run them."""
    ask = (
        "import httpx, sys\nhttp = httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1]), timeout=60)\n"
        "http.post('http://e/v1/execute', json={'code': 'import time\\ntime.sleep(60)', 'inputs': ['', ''],"
        " 'limits': {'time_s': 20}})"
    )
    client = subprocess.Popen([sys.executable, "-c", ask, str(path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while len(runs := psutil.Process(process.pid).children(recursive=True)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    return client, runs


def test_kill_9_of_the_executor_leaves_no_child(tmp_path: Path) -> None:
    process = start(tmp_path / "e.sock")
    client, runs = busy(tmp_path / "e.sock", process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)
    _, alive = psutil.wait_procs(runs, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    client.wait(10)


def test_sigterm_in_the_middle_of_a_run_is_a_clean_exit(tmp_path: Path) -> None:
    process = start(tmp_path / "e.sock")
    client, runs = busy(tmp_path / "e.sock", process)
    process.terminate()
    assert process.wait(10) == 0
    assert not any(p.is_running() for p in runs)
    client.wait(10)


def test_a_limit_that_does_not_take_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    honest = selfcheck.run_program

    def leaky(code: str, text: str, **kwargs: object) -> object:
        ran = honest(code, text, **kwargs)
        return ran._replace(run=Run(status=RunStatus.OK)) if "socket" in code else ran

    monkeypatch.setattr(selfcheck, "run_program", leaky)
    assert server.main(["--uds", str(tmp_path / "e.sock")]) == 1
    assert "network socket" in capsys.readouterr().err
    assert not (tmp_path / "e.sock").exists()
