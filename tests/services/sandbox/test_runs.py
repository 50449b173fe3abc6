import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.contracts import Limits
from atlas.errors import StartupError
from atlas.executor import ExecuteRequest, Run, RunStatus
from services.sandbox.runner import Runner

pytestmark = pytest.mark.integration  # a real fork server and its runs

SHORT = Limits(time_s=0.5, memory_mb=128, output_kb=64)
DEEP = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\n"


class Bench:
    """Runs single programs on a runner."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def run(self, code: str, text: str = "", limits: Limits = SHORT) -> Run:
        request = ExecuteRequest(code=code, inputs=(text,), limits=limits)
        return self.runner.execute(request).runs[0]

    def call(self, code: str, text: str = "1", name: str = "f") -> Run:
        request = ExecuteRequest(code=code, inputs=(text,), limits=SHORT, kind="function", entry_point=name)
        return self.runner.execute(request).runs[0]


@pytest.fixture(scope="module", params=["namespaces", "pod"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    try:
        runner = Runner.start(jobs=2, isolation=request.param)
    except StartupError as error:
        pytest.skip(f"level '{request.param}' does not hold on this machine: {error}")
    assert runner.isolation == request.param
    yield Bench(runner)
    runner.close()


@pytest.fixture
def boxed(bench: Bench) -> Bench:
    """Only where a run has a directory of its own."""
    if bench.runner.isolation != "namespaces":
        pytest.skip("nothing is writable at this level")
    return bench


# ---------------------------------------------------------------- every status


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("print(1)", "ok", ""),
        ("import sys\nprint(1)\nsys.exit(0)", "ok", ""),
        ("print(1)\nexit()", "ok", ""),
        ("print(1, flush=True)\nimport os\nos._exit(0)", "ok", ""),
        ("exit(3)", "runtime_error", "SystemExit: 3"),
        ("x = 1\nx / 0", "runtime_error", "ZeroDivisionError: division by zero (line 2)"),
        ("import numpy_of_nobody", "runtime_error", "ModuleNotFoundError"),
        ("import ctypes\nctypes.string_at(0)", "runtime_error", "SIGSEGV"),
        ("import os\nos.abort()", "runtime_error", "SIGABRT"),
        ("print(", "compile_error", "SyntaxError"),
        ("x = '\\0'\n\0", "compile_error", ""),
        ("while True: pass", "time_limit", "of CPU"),
        ("try:\n  while True: pass\nexcept BaseException: pass", "time_limit", "of CPU"),
        ("b'x' * (1 << 30)", "memory_limit", "MemoryError"),
        ("x = []\nwhile True: x.append([0] * 1000)", "memory_limit", "MemoryError"),
        ("while True: print('x' * 1000)", "output_limit", "64 kB"),
        ("import socket\nsocket.socket()", "forbidden", "PermissionError"),
        ("import socket\nsocket.socketpair()", "forbidden", "PermissionError"),
        ("import os\nos.fork()", "forbidden", "PermissionError"),
        ("import subprocess\nsubprocess.run(['true'])", "forbidden", "PermissionError"),
        ("import os\nos.kill(os.getppid(), 9)", "forbidden", "PermissionError"),
        ("import os\nos.kill(os.getpid(), 9)", "forbidden", "PermissionError"),
        ("import os\nos.chmod('/', 0o777)", "forbidden", "PermissionError"),
        ("raise PermissionError('its own')", "runtime_error", "its own"),
        ("raise KeyboardInterrupt", "runtime_error", "KeyboardInterrupt"),
        ("import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()", "ok", ""),
        (
            "import threading\nt = threading.Thread(target=lambda: b'x' * (1 << 30))\nt.start()",
            "memory_limit",
            "MemoryError",
        ),
    ],
)
def test_status(bench: Bench, code: str, status: str, error: str) -> None:
    ended = bench.run(code)
    assert (ended.status.value, error in ended.error) == (status, True), ended


def test_endless_sleep_meets_the_wall_clock(bench: Bench) -> None:
    ended = bench.run("import time\ntime.sleep(100)", limits=Limits(time_s=0.1))
    assert ended.status is RunStatus.TIME_LIMIT
    assert "wall" in ended.error
    assert 2 <= ended.wall_s < 4


def test_cpu_time_is_measured_and_the_interpreters_start_is_not_counted(bench: Bench) -> None:
    ended = bench.run("import time\nwhile time.process_time() < 0.25: pass")
    assert ended.status is RunStatus.OK
    assert 0.1 < ended.cpu_s < 0.35
    assert bench.run("pass").cpu_s < 0.05


def test_peak_memory_is_the_programs_own(bench: Bench) -> None:
    small, large = bench.run("pass").memory_mb, bench.run("x = b'x' * (64 << 20)").memory_mb
    assert 3 < small < 40
    assert 60 < large - small < 70


# ---------------------------------------------------------------- stdin programs


@pytest.mark.parametrize(
    "code",
    [
        "print(input()); print(input())",
        "import sys\nfor line in sys.stdin: print(line, end='')",
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())",
        "import sys\nr = sys.stdin.buffer.readline\nprint(r().decode(), r().decode(), sep='')",
        "print(open(0).read())",
        "import os\nos.write(1, os.read(0, os.fstat(0).st_size))",
        "import sys\ndef main(): print(sys.stdin.read())\nif __name__ == '__main__': main()",
        "import threading\nthreading.stack_size(1 << 26)\n"
        "threading.Thread(target=lambda: print(open(0).read())).start()",
        "import atexit\ns = open(0).read()\natexit.register(lambda: print(s))",
    ],
)
def test_ways_to_read_and_write(bench: Bench, code: str) -> None:
    text = "3 4\nhéllo ✓\n"
    ended = bench.run(code, text)
    assert (ended.status, ended.output.strip()) == (RunStatus.OK, text.strip()), ended


def test_large_input_and_output(bench: Bench) -> None:
    text = "7" * 3_000_000
    ended = bench.run("print(input())", text, Limits(output_kb=4096))
    assert (ended.status, len(ended.output)) == (RunStatus.OK, 3_000_001)


def test_output_at_the_cap_is_fine_and_one_byte_more_is_not(bench: Bench) -> None:
    assert bench.run("print('x' * (64 * 1024), end='')").status is RunStatus.OK
    assert bench.run("print('x' * (64 * 1024))").status is RunStatus.OUTPUT_LIMIT


def test_dataclasses_and_globals_work_as_in_a_script(bench: Bench) -> None:
    code = (
        "from dataclasses import dataclass\nn = 0\n@dataclass\nclass P:\n  x: 'int'\n"
        "def f():\n  global n\n  n += P(2).x\nf()\nprint(n)"
    )
    assert bench.run(code).output == "2\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (DEEP + "print(f(40_000))", {RunStatus.OK}),
        (DEEP + "print(f(60_000))", {RunStatus.RUNTIME_ERROR}),
        (
            "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n + 1)\nf(0)",
            {RunStatus.MEMORY_LIMIT, RunStatus.RUNTIME_ERROR},  # 3.11 and later recurse on the heap
        ),
    ],
)
def test_deep_recursion(bench: Bench, code: str, status: set[RunStatus]) -> None:
    assert bench.run(code, limits=Limits(memory_mb=100)).status in status


# ---------------------------------------------------------------- function programs


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("def f(a, b): return a + b", 3),
        ("class Solution:\n  def f(self, a, b): return [a, b]", [1, 2]),
        ("class Solution:\n  def g(self): pass\ndef f(a, b): return a - b", -1),
        ("def f(a: List[int], b: Optional[int]): return (a, [(b, None)], {'k': True})", None),
        ("def f(a, b): return Counter('aab')", {"a": 2, "b": 1}),
        ("def f(a, b): return [sqrt(4), gcd(4, 6), heapq.nsmallest(1, [2, 1]), inf > 1, pow(2, 3, 5)]", None),
        ("def f(a, b): print('noise' * 100_000); return 1", 1),
        ("if __name__ == '__main__': raise SystemExit\ndef f(a, b): return 1", 1),
        ("@cache\ndef f(a, b): return None", "null"),
        ("def f(a, b): return '\\ud800'", "\ud800"),
    ],
)
def test_returned_value(bench: Bench, code: str, value: object) -> None:
    ended = bench.call(code, "1\n2\n")
    assert ended.status is RunStatus.OK, ended
    if value == "null":
        assert ended.output == "null"
    elif value is not None:
        assert json.loads(ended.output) == value


def test_tuples_become_lists_and_huge_numbers_survive(bench: Bench) -> None:
    assert bench.call("def f(a): return ((1, 2), [(3,)])").output == "[[1, 2], [[3]]]"
    assert bench.call("def f(a): return a * 10 ** 9_999").output == "1" + "0" * 9_999


def test_line_separators_inside_a_string_do_not_split_arguments(bench: Bench) -> None:
    assert bench.call("def f(a, b): return len(a) + b", '"x\u2028y"\n\n4\n').output == "7"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def g(a): return 1", "neither Solution.f nor a function f"),
        ("def f(): return 1", "positional"),
        ("import sys\ndef f(a): sys.exit(0)", "SystemExit"),
        ("import os\ndef f(a): os._exit(0)", "before the function returned"),
    ],
)
def test_no_value_is_a_runtime_error(bench: Bench, code: str, error: str) -> None:
    ended = bench.call(code)
    assert ended.status is RunStatus.RUNTIME_ERROR
    assert error in ended.error


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("{1, 2}", "set"),
        ("{1: 2}", "keys"),
        ("object()", "object"),
        ("[1, (2, b'x')]", "bytes"),
        ("Equal()", "Equal"),
        ("Liar()", "not JSON"),
        ("loop", "ircular"),
        ("deep", "not JSON"),
    ],
)
def test_a_value_that_is_not_json_is_no_output(bench: Bench, value: str, error: str) -> None:
    code = (
        "class Equal:\n  def __eq__(self, other): return True\n"
        "class Liar:\n  __class__ = int\n"
        "loop = []\nloop.append(loop)\ndeep = []\nfor _ in range(200_000): deep = [deep]\n"
        f"def f(a): return {value}"
    )
    ended = bench.call(code)
    assert (ended.status, ended.output) == (RunStatus.OK, ""), ended
    assert error in ended.error


def test_input_that_is_not_json_is_not_the_programs_fault(bench: Bench) -> None:
    ended = bench.call("def f(a): return a", "[1")
    assert ended.status is RunStatus.INFRASTRUCTURE_ERROR
    assert "JSON" in ended.error


@pytest.mark.parametrize("end", ["1 / 0", "import os; os._exit(1)", "import os; os._exit(0)"])
def test_closing_or_scribbling_on_every_descriptor_never_makes_a_pass(bench: Bench, end: str) -> None:
    spoil = "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'{}\\n\"right\"\\n'); os.close(fd)\n"
    spoil += "  except OSError: pass\n"
    ended = bench.call(f"{spoil}def f(a): return a\n{end}")
    assert ended.status is RunStatus.RUNTIME_ERROR, ended


# ---------------------------------------------------------------- isolation


def test_no_network_not_even_loopback(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        port = listener.getsockname()[1]
        ended = bench.run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)")
        with pytest.raises(TimeoutError):
            listener.accept()
    assert ended.status is RunStatus.FORBIDDEN


def test_fork_bomb_is_contained(bench: Bench) -> None:
    before = len(list(Path("/proc").glob("[0-9]*")))
    code = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
    assert bench.run(code, limits=Limits(time_s=0.3)).status is RunStatus.TIME_LIMIT
    assert len(list(Path("/proc").glob("[0-9]*"))) < before + 20


def test_environment_arguments_and_descriptors_are_empty(bench: Bench) -> None:
    code = (
        "import os, sys, stat\nprint(dict(os.environ), sys.argv[1:])\nfor fd in range(3, 1024):\n"
        "  try: mode = os.fstat(fd).st_mode\n  except OSError: continue\n"
        "  print('file' if stat.S_ISREG(mode) else 'directory' if stat.S_ISDIR(mode) else oct(mode))"
    )
    lines = bench.run(code).output.splitlines()
    assert lines[0] == "{} []"
    # Its own `end` file; and, where Python's library is out of an ordinary user's reach, that library.
    assert lines.count("file") == 1
    assert set(lines[1:]) <= {"file", "directory"}


def test_a_run_is_nobody(bench: Bench) -> None:
    code = (
        "import os\nprint(0 in os.getresuid() + os.getresgid(), os.getgroups())\n"
        "try: os.setuid(0)\nexcept PermissionError: print('kept')"
    )
    assert bench.run(code).output == "False []\nkept\n"


def test_the_box_is_private_and_empty_for_the_next_run(boxed: Bench) -> None:
    code = (
        "import os, tempfile\nprint(os.getcwd(), os.listdir())\nos.makedirs('a/b')\n"
        "open('a/b/x', 'w').write('1')\nprint(open('a/b/x').read(), tempfile.gettempdir())"
    )
    for _ in range(3):
        assert boxed.run(code).output == "/box []\n1 /box\n"
    assert not Path("/box").exists()


def test_files_in_the_box_are_limited_in_size_number_and_sum(boxed: Bench) -> None:
    assert boxed.run("open('big', 'w').write('x' * 100_000)").status is RunStatus.OUTPUT_LIMIT
    assert boxed.run("for i in range(3000): open(str(i), 'w').close()").status is RunStatus.OUTPUT_LIMIT
    fill = "for i in range(1000): open(str(i), 'w').write('x' * 60_000)"
    assert boxed.run(fill).status is RunStatus.OUTPUT_LIMIT


def test_nothing_is_writable_in_a_pod(bench: Bench) -> None:
    if bench.runner.isolation == "namespaces":
        pytest.skip("a run has a box of its own at this level")
    for attempt in (
        "open('x', 'w')",
        "import os\nos.mkdir('x')",
        "open('/tmp/atlas-x', 'w')",
        "open('/dev/shm/atlas-x', 'w')",
    ):
        assert bench.run(attempt).status is RunStatus.FORBIDDEN
    assert bench.run("print(open('/dev/null', 'w').write('x'))").output == "1\n"


def test_files_of_the_machine_can_be_neither_read_nor_written(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o666)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o055 != 0o055 and path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o777)
    for attempt in (f"open({str(secret)!r})", f"open({str(secret)!r}, 'r+')", "open('/etc/passwd')"):
        # In namespaces it is not even there.
        expected = {RunStatus.FORBIDDEN, RunStatus.RUNTIME_ERROR}
        assert bench.run(attempt).status in expected
    assert bench.run(f"print(open({str(secret)!r}).read())").output == ""
    assert bench.run(f"open('/proc/{os.getpid()}/environ')").status is not RunStatus.OK
    assert secret.read_text() == "s3cret"


def test_limits_cannot_be_raised_nor_the_lockdown_undone(bench: Bench) -> None:
    code = (
        "import ctypes, os, resource\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.prctl(1, 0, 0, 0, 0), ctypes.get_errno())\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "try: resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))\nexcept PermissionError: print('kept')\n"
        "except ValueError: print('kept')\n"
    )
    assert bench.run(code).output == "-1 1\nkept\n"


def test_a_foreign_system_call_table_is_deadly(bench: Bench) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("x32 exists on x86_64 only")
    ended = bench.run("import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 41, 2, 1, 0)")
    assert ended.status is RunStatus.FORBIDDEN
