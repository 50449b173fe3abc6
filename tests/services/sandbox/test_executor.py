import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import psutil
import pytest

from atlas.checkers import Checker
from atlas.contracts import Example, Execution, Limits, Problem, Verdict
from atlas.errors import StartupError
from atlas.executor import ExecuteManyRequest, ExecuteRequest, ExecutorClient, Run, RunStatus
from atlas.judge import judge
from services.sandbox import executor as server
from services.sandbox import isolation, selfcheck
from services.sandbox.slot import Ended, Job

pytestmark = pytest.mark.integration  # real executors and their children

LEVELS = get_args(isolation.Level)


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
    await execute(socket_path, ExecuteRequest(code="print(1)", inputs=("",)))
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
    assert execution.isolation in LEVELS
    (first, _) = execution.results
    assert (first.memory_mb > 1, first.wall_s > 0, execution.tests) == (True, True, 2)


UNSPEAKABLE = {
    "1 + 2j": "complex",
    "{1, 2}": "set",
    "Same()": "Same",
    "[1, Same()]": "Same",
    "''": "",
}


@pytest.mark.parametrize("value", UNSPEAKABLE)
async def test_a_value_that_is_no_json_is_a_wrong_answer_whatever_is_expected(
    socket_path: Path, value: str
) -> None:
    code = f"class Same:\n  __eq__ = lambda *_: True\n  __repr__ = lambda _: '2'\ndef f(): return {value}"
    problem = Problem(statement="Two.", kind="function", entry_point="f")
    tests = [Example(input="", output=expected) for expected in ("2", "", "null", value)]
    async with ExecutorClient(f"unix:{socket_path}") as client:
        for checker in get_args(Checker):
            execution = await judge(client, code=code, problem=problem, tests=tests, checker=checker)
            assert [result.verdict for result in execution.results] == [Verdict.WRONG_ANSWER] * 4
            assert UNSPEAKABLE[value] in execution.results[0].error


def post(path: Path, url: str, body: dict[str, object]) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://executor") as http:
        return http.post(url, json=body, timeout=60)


async def test_many_programs_over_the_real_executor(socket_path: Path) -> None:
    programs = ("print(2 * int(input()))", "n = int(input())\nprint(n + n)", "print(", "print(9)")
    async with ExecutorClient(f"unix:{socket_path}") as client:
        response = await client.execute_many(ExecuteManyRequest(programs=programs, inputs=("1", "2", "3")))
    outputs = [[run.output.strip() or run.status.value for run in runs] for runs in response.runs]
    assert outputs == [["2", "4", "6"]] * 2 + [["compile_error"] * 3, ["9"] * 3]
    assert response.isolation in LEVELS


def test_judging_in_the_executor_agrees_with_judging_here(socket_path: Path) -> None:
    tests = [{"input": "1", "output": "2"}, {"input": "x", "output": "2"}, {"input": "2", "output": "5"}]
    answer = post(socket_path, "/v1/judge", {"code": "print(2 * int(input()))", "tests": tests})
    execution = Execution.model_validate(answer.json())
    verdicts = [result.verdict for result in execution.results]
    assert verdicts == [Verdict.ACCEPTED, Verdict.RUNTIME_ERROR, Verdict.WRONG_ANSWER]
    assert "ValueError" in execution.results[1].error


def test_a_program_that_looks_for_expected_outputs_finds_none(socket_path: Path) -> None:
    code = (
        "import gc\nlooked = [s for o in gc.get_objects() for s in gc.get_referents(o)]\n"
        "print([s for s in looked if isinstance(s, str) and '-'.join(['EXPECTED', '7']) in s])"
    )
    tests = [{"input": "1", "output": "EXPECTED-7"}]
    answer = post(socket_path, "/v1/judge", {"code": code, "tests": tests})
    (result,) = Execution.model_validate(answer.json()).results
    assert (result.verdict, result.output) == (Verdict.WRONG_ANSWER, "[]\n")


def test_health_and_environment(socket_path: Path) -> None:
    assert get(socket_path, "/healthz").status_code == 200
    level = get(socket_path, "/readyz").json()["isolation"]
    assert level in LEVELS
    environment = get(socket_path, "/v1/environment").json()
    assert (environment["jobs"], environment["isolation"]) == (2, level)
    assert environment["limits"]["default"] == Limits().model_dump()
    metrics = get(socket_path, "/metrics").text
    assert f'atlas_sandbox_isolation_info{{level="{level}"}} 1.0' in metrics
    assert 'atlas_sandbox_runs_total{status="ok"}' in metrics


def test_every_package_it_names_can_be_imported(socket_path: Path) -> None:
    packages = get(socket_path, "/v1/environment").json()["packages"]
    for name, version in packages.items():
        body = {"code": f"import {name}\nprint({name}.__version__)", "inputs": [""]}
        (run,) = post(socket_path, "/v1/execute", body).json()["runs"]
        assert (run["status"], run["output"].strip()) == ("ok", version), run


def test_the_isolation_can_be_chosen_and_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--check", "--isolation", "pod"]) == 0
    assert capsys.readouterr().out == "pod\n"
    if not isolation.is_gvisor():
        assert server.main(["--check", "--isolation", "gvisor"]) == 1
        assert "this is not gVisor" in capsys.readouterr().err


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
    """A client with two endless programs, and the processes that run them: a launcher, slots, programs."""
    ask = (
        "import httpx, sys\nhttp = httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1]), timeout=60)\n"
        "http.post('http://e/v1/execute', json={'code': 'import time\\ntime.sleep(60)', 'inputs': ['', ''],"
        " 'limits': {'time_s': 20}})"
    )
    client = subprocess.Popen([sys.executable, "-c", ask, str(path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while len(runs := psutil.Process(process.pid).children(recursive=True)) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    return client, runs


def assert_all_end(processes: list[psutil.Process]) -> None:
    """The kernel ends them, a moment after the executor: with the launcher, the namespaces go."""
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_kill_9_of_the_executor_leaves_no_child(tmp_path: Path) -> None:
    process = start(tmp_path / "e.sock")
    client, runs = busy(tmp_path / "e.sock", process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)
    client.wait(10)
    assert_all_end(runs)


def test_sigterm_in_the_middle_of_a_run_is_a_clean_exit(tmp_path: Path) -> None:
    process = start(tmp_path / "e.sock")
    client, runs = busy(tmp_path / "e.sock", process)
    process.terminate()
    assert process.wait(10) == 0
    client.wait(10)
    assert_all_end(runs)


def test_a_limit_that_does_not_take_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    honest = selfcheck.to_run

    def leaky(job: Job, ended: Ended) -> Run:
        run = honest(job, ended)
        return Run(status=RunStatus.OK) if run.status is RunStatus.FORBIDDEN else run

    monkeypatch.setattr(selfcheck, "to_run", leaky)
    assert server.main(["--uds", str(tmp_path / "e.sock")]) == 1
    assert "network socket" in capsys.readouterr().err
    assert not (tmp_path / "e.sock").exists()
