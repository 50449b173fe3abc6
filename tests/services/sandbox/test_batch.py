import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.executor import Run, RunStatus
from services.sandbox.batch import Batch

OK, BAD = Run(status=RunStatus.OK), Run(status=RunStatus.RUNTIME_ERROR)


def work(batch: Batch, bad: set[int]) -> None:
    while (taken := batch.take()) is not None:
        number, text = taken
        assert text == str(number)
        batch.put(number, BAD if number in bad else OK)
    batch.leave()


@given(st.integers(1, 40), st.integers(1, 4), st.sets(st.integers(0, 39)), st.booleans())
def test_runs_come_back_in_order_and_end_with_the_first_bad_one(
    count: int, workers: int, bad: set[int], stop: bool
) -> None:
    batch = Batch([str(n) for n in range(count)], workers, stop_on_error=stop)
    threads = [threading.Thread(target=work, args=(batch, bad)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    runs = batch.wait()
    expected = [BAD if n in bad else OK for n in range(count)]
    if stop and BAD in expected:
        expected = expected[: expected.index(BAD) + 1]
    assert runs == expected


def test_what_nobody_took_is_the_executors_fault() -> None:
    batch = Batch(["0", "1", "2"], 1, stop_on_error=False)
    assert batch.take() == (0, "0")
    batch.put(0, OK)
    batch.leave()
    assert [run.status for run in batch.wait()] == [RunStatus.OK] + [RunStatus.INFRASTRUCTURE_ERROR] * 2


def test_a_workers_failure_reaches_who_waits() -> None:
    batch = Batch(["0"], 2, stop_on_error=False)
    batch.leave(ValueError("broken"))
    batch.leave()
    with pytest.raises(ValueError, match="broken"):
        batch.wait()
