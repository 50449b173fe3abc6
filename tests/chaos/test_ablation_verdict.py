"""The judge of killed ablations finds what is planted, and takes no needed drawing for a repeated one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.contracts import SamplingParams, Usage
from atlas.events import Choice
from benchmark.recorded.completions import Call, CompletionStore, Recorded
from tests.chaos.ablation import Figures
from tests.chaos.ablation_run import drawn
from tests.chaos.ablation_verdict import Ablation, Drawn, ablation_differences, redrawn
from tests.chaos.request_log import Request, choice_names
from tests.chaos.test_runner_verdict import CALM, finished, record, summary

WRONG = (
    *("different", "journals_differ", "lost", "submitted_twice", "duplicated", "redrawn"),
    *("unfinished_files", "left_running", "stumbles"),
)
ROW = {"label": "repairs", "runs": ["/a"], "seconds": 4.0, "n": 4, "tokens_out": 80}


def ablation(cell: Any = CALM, **row: Any) -> Ablation:
    return Ablation({"model--repairs--s0": cell}, {"conditions": [ROW | row], "pairs": []}, 1, ())


def test_times_directories_and_drawn_names_are_no_difference() -> None:
    later = finished(record(started_at=7.0), summary(run_id="chaos-0f/x", run_dir="/b"))
    assert ablation_differences(ablation(), ablation(later, runs=["/b"], seconds=9.0)) == []


@pytest.mark.parametrize(
    ("shaken", "said"),
    [
        (ablation(finished(record(attempt=2), summary())), "t: attempt was 1, is 2"),
        (ablation(finished(record(), summary(passed=0))), "result.json: passed was 1, is 0"),
        (ablation(tokens_out=99), "conditions: 0.tokens_out was 80, is 99"),
        (replace(ablation(), cells={}), "model--repairs--s0: in one of the two only"),
    ],
)
def test_what_is_otherwise_is_told(shaken: Ablation, said: str) -> None:
    (line,) = ablation_differences(ablation(), shaken)
    assert line.endswith(said)


def request(begin: float, end: float | None, *choices: str) -> Request:
    return Request("key", begin, end, choices)


@pytest.mark.parametrize(
    ("requests", "deaths", "pool", "count"),
    [
        ([request(1, 2, "a", "b"), request(3, 4, "c")], [], [], 0),
        ([request(1, 2, "a", "b"), request(3, 4, "b", "c")], [], [], 1),
        # Killed after the last token: it may or may not have been kept; what the pool had then decides.
        ([request(1, 2, "a"), request(3, 4, "a")], [2.001], [Drawn(2.5, frozenset())], 0),
        ([request(1, 2, "a"), request(3, 4, "a")], [2.001], [Drawn(2.5, frozenset("a"))], 1),
        # Nobody waited for its end.
        ([request(1, None, "a"), request(3, 4, "a")], [], [], 0),
        ([request(1, 5, "a"), request(3, 4, "a")], [], [], 0),
    ],
)
def test_samples_drawn_though_the_pool_had_them_are_counted(
    requests: list[Request], deaths: list[float], pool: list[Drawn], count: int
) -> None:
    assert redrawn(requests, deaths, pool) == count


def test_a_pool_tells_the_names_of_what_the_server_logged(tmp_path: Path) -> None:
    assert drawn(tmp_path / "none.sqlite").choices == frozenset()
    store = CompletionStore(tmp_path / "pool.sqlite")
    call = Call(model="m", prompt="p", sampling=SamplingParams(temperature=0.7, seed=4, max_tokens=20), n=2)
    choice = Choice(text="x", usage=Usage(tokens_in=1, tokens_out=1), finish="stop")
    store.add(call, {seed: Recorded(choice=choice, asked=20, stop=()) for seed in call.seeds})
    assert drawn(tmp_path / "pool.sqlite").choices == set(choice_names("p", seed=4, n=2))
    store.close()


@pytest.mark.parametrize("figure", WRONG)
def test_any_one_figure_fails_the_ablation(figure: str) -> None:
    known: Callable[..., Figures] = lambda **wrong: Figures(  # noqa: E731
        tasks=8, runs=4, kills=2, seed=0, phases={"wait": 2}, drawn=(9, 9), **wrong
    )
    good = known(**dict.fromkeys(WRONG, 0))
    assert good.clean(kills=2)
    assert not replace(good, **{figure: 1}).clean(kills=2)
    assert not good.clean(kills=3), "kills that never came prove nothing"
