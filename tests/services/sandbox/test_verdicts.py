"""From the bare facts of a run to its name; nothing is run here."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.executor import RunStatus
from services.sandbox.runs import disturbed, to_run
from services.sandbox.slot import Ended, Job

JOB = Job(
    code=-1,
    compiled=False,
    kind="stdin",
    entry_point="",
    input=b"",
    time_s=1.0,
    wall_s=4.0,
    memory_bytes=1 << 20,
    output_bytes=1024,
)
FINE = Ended(
    killed="",
    returncode=0,
    cpu_s=0.1,
    wall_s=0.1,
    memory_mb=10.0,
    output=b"1\n",
    stderr=b"",
    start={"ready": True, "cpu_s": 0.0},
    end={"status": "ok"},
)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, "ok"),
        ({"killed": "stopped", "returncode": -9}, "infrastructure_error"),
        ({"killed": "wall", "returncode": -9}, "time_limit"),
        ({"killed": "cpu", "returncode": -9}, "time_limit"),
        ({"killed": "oom", "returncode": -9}, "memory_limit"),
        ({"cpu_s": 1.1}, "time_limit"),
        ({"returncode": -24}, "time_limit"),
        ({"returncode": -25}, "output_limit"),
        ({"returncode": -31}, "forbidden"),
        ({"returncode": -11}, "runtime_error"),
        ({"returncode": -9}, "infrastructure_error"),
        ({"returncode": 3}, "runtime_error"),
        ({"output": b"x" * 1025}, "output_limit"),
        ({"output": b"x" * 1025, "killed": "cpu", "returncode": -9}, "output_limit"),
        ({"start": {}}, "infrastructure_error"),
        ({"start": {"failed": "no"}}, "infrastructure_error"),
        ({"end": {"status": "memory_limit"}, "returncode": 1}, "memory_limit"),
        ({"end": {"status": "compile_error"}, "returncode": 1}, "compile_error"),
    ],
)
def test_the_name_of_an_end(facts: dict[str, object], status: str) -> None:
    assert to_run(JOB, replace(FINE, **facts)).status.value == status  # type: ignore[arg-type]


def test_errors_say_what_to_know() -> None:
    def error(**facts: object) -> str:
        return to_run(JOB, replace(FINE, **facts)).error  # type: ignore[arg-type]

    assert error(returncode=1, stderr=b"Traceback\n  ...\nKeyError: 'x'\n") == "KeyError: 'x'"
    assert "SIGSEGV" in error(returncode=-11)
    assert "used 2.00 s of CPU, limit 1 s" in error(cpu_s=2.0)
    assert "4 s of wall time" in error(killed="wall")
    assert "1 kB" in error(output=b"x" * 2000)


@pytest.mark.parametrize("end", [{}, {"status": "runtime_error", "error": "x"}, {"status": "nonsense"}])
def test_a_function_that_did_not_return_has_no_value(end: dict[str, object]) -> None:
    run = to_run(replace(JOB, kind="function"), replace(FINE, end=end, output=b"42"))
    assert run.status is RunStatus.RUNTIME_ERROR


def test_a_function_whose_value_is_not_json_says_so() -> None:
    end = {"status": "ok", "error": "holds a set"}
    run = to_run(replace(JOB, kind="function"), replace(FINE, end=end, output=b""))
    assert (run.status, run.output, run.error) == (RunStatus.OK, "", "holds a set")
    assert to_run(replace(JOB, kind="function"), replace(FINE, output=b"")).error


words = st.sampled_from(["ready", "failed", "status", "error", "cpu_s", "x"])
values = st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from([s.value for s in RunStatus])


@given(st.dictionaries(words, values), st.integers(-64, 255), st.binary(max_size=2000))
def test_a_started_program_can_never_blame_the_machinery(
    end: dict[str, object], returncode: int, output: bytes
) -> None:
    run = to_run(JOB, replace(FINE, end=json.loads(json.dumps(end)), returncode=returncode, output=output))
    assert run.status is not RunStatus.INFRASTRUCTURE_ERROR or returncode == -9


@pytest.mark.parametrize(
    ("facts", "stolen", "expected"),
    [
        ({}, 0.9, False),
        ({"killed": "wall", "waited_s": 0.5}, 0.0, False),
        ({"killed": "wall", "waited_s": 1.0}, 0.0, True),
        ({"killed": "cpu"}, 0.1, False),
        ({"killed": "cpu"}, 0.3, True),
        ({"cpu_s": 1.5}, 0.3, True),
    ],
)
def test_only_a_late_run_on_a_disturbed_host_is_made_again(
    facts: dict[str, object], stolen: float, expected: bool
) -> None:
    assert disturbed(JOB, replace(FINE, **facts), stolen) is expected  # type: ignore[arg-type]
