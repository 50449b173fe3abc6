"""Within-task figures by hand, and spans found for candidates in journals and in samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Candidate, Problem, SamplingParams, Usage
from atlas.errors import BadInput
from atlas.events import (
    CandidateGenerated,
    Choice,
    CommandsIssued,
    Entry,
    ModelCallFinished,
    Pins,
    TaskSubmitted,
)
from atlas.policy import Policy
from benchmark.lens_training.data import read_rows
from benchmark.lens_training.ranking import auc, auc_over_tasks, by_task, differences, mean_auc, ranker
from benchmark.recorded.completions import Call, CompletionStore, Recorded
from benchmark.selection.pools import PooledTask
from tests.support.lens_weights import span


def test_an_auc_is_how_often_a_right_one_comes_first() -> None:
    right = np.array([True, False, True, False])
    assert auc(right, np.array([1.0, 2, 3, 4])) == 0.75
    assert auc(right, np.array([1.0, 1, 1, 1])) == 0.5
    assert auc(right, np.array([0.0, 1, 0, 1])) == 1
    with pytest.raises(ValueError, match="right and wrong"):
        auc(np.ones(2, bool), np.zeros(2))


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=12))
def test_an_auc_is_that_of_its_definition(rows: list[tuple[bool, int]]) -> None:
    right, scores = np.array([r for r, _ in rows]), np.array([float(s) for _, s in rows])
    if right.all() or not right.any():
        return
    pairs = [(a, b) for a in scores[right] for b in scores[~right]]
    assert auc(right, scores) == pytest.approx(np.mean([(a < b) + 0.5 * (a == b) for a, b in pairs]))


def test_tasks_weigh_the_same_and_only_mixed_ones_count() -> None:
    task = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    right = np.array([True, False, True, False, False, False, True, True])
    scores = np.array([2.0, 1, 0, 5, 5, 5, 0, 0])
    aucs, picks = by_task(task, right, scores)
    assert aucs == [0.0, 1.0]
    assert picks == [0.0, 1.0]
    assert mean_auc(task, right, scores) == 0.5
    found = ranker(task, right, scores)
    assert (found.auc.n, found.auc.value, found.first_pick.value) == (2, 0.5, 0.5)
    assert found.auc.low <= 0.5 <= found.auc.high
    assert by_task(task, right, np.zeros(8))[1] == [0.5, 0.25], "a tie is scored by its expectation"
    less = differences(task, right, {"a": scores, "b": np.zeros(8)}, "a")
    assert set(less) == {"b"}
    assert less["b"].value == 0


def test_an_interval_over_tasks_holds_the_value() -> None:
    chance = np.random.default_rng(0)
    right = np.arange(60) % 2 == 0
    found = auc_over_tasks(right, np.where(right, 0, 1) + chance.normal(0, 1, 60))
    assert found.low < found.value < found.high
    assert found.n == 60


def test_an_auc_within_groups_does_not_count_what_tells_the_groups_apart() -> None:
    right = np.asarray([True, True, True, False, True, False, False, False])
    group = np.asarray([0, 0, 0, 0, 1, 1, 1, 1])
    by_group = group.astype(float)  # most right rows are in the group that scores lower
    assert auc_over_tasks(right, by_group).value == 0.75
    assert auc_over_tasks(right, by_group, group).value == 0.5
    within = np.asarray([5.0, 5, 5, 6, 1, 2, 2, 0])
    assert auc_over_tasks(right, within, group).value == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="right and wrong"):
        auc_over_tasks(right, by_group, np.arange(8))


SAMPLING = SamplingParams(temperature=0.7, max_tokens=64, seed=7)


def a_task(pool: Path, *, in_journal: bool) -> PooledTask:
    """Two candidates of one call, with their spans in the journal or without."""
    choices = tuple(
        Choice(
            text=f"```python\nprint({i})\n```",
            usage=Usage(tokens_out=3),
            finish="stop",
            span=span(float(i), 1.0, prompt=9.0) if in_journal else None,
        )
        for i in range(2)
    )
    candidates = tuple(
        Candidate(
            id=f"c{i}", origin="sample", code=f"print({i})", sampling=SAMPLING, usage=Usage(tokens_out=3)
        )
        for i in range(2)
    )
    events = (
        TaskSubmitted(
            problem=Problem(statement="state"),
            policy=Policy(name="p", k=2),
            pins=Pins(pipeline="4", prompts_sha256="0" * 64, model="m"),
            deadline_s=60,
        ),
        CommandsIssued(ids=("generate:0",)),
        ModelCallFinished(
            command="generate:0",
            call="generate:0/code:0",
            prompt="the prompt",
            sampling=SAMPLING,
            choices=choices,
            server_s=0.1,
        ),
        *(CandidateGenerated(command="generate:0", candidate=each) for each in candidates),
    )
    return PooledTask(
        task="t",
        platform="p",
        model="m",
        entries=tuple(Entry(seq=i, time=1.0, event=event) for i, event in enumerate(events, 1)),
        candidates=candidates,
        right={"c0": True, "c1": False},
        passed={},
        pool=pool,
    )


def samples(directory: Path, *, text: str = "```python\nprint({})\n```") -> None:
    """The samples that the task's candidates are of."""
    (directory / "pool").mkdir(parents=True)
    store = CompletionStore(directory / "pool" / "completions.sqlite")
    call = Call(model="m", prompt="the prompt", sampling=SAMPLING, n=2)
    for i in range(2):
        choice = Choice(
            text=text.format(i),
            usage=Usage(tokens_out=3),
            finish="stop",
            span=span(float(i), 1.0, prompt=9.0),
        )
        store.add(call, {7 + i: Recorded(choice=choice, asked=64, stop=())})
    store.close()


@pytest.mark.parametrize("in_journal", [True, False])
def test_a_candidates_span_is_found_in_its_journal_or_its_samples(tmp_path: Path, in_journal: bool) -> None:
    if not in_journal:
        samples(tmp_path)
    rows = read_rows([a_task(tmp_path, in_journal=in_journal)], "span", ("mean", "prompt_last"))
    assert rows.x["drawn"].tolist() == [[0, 1, 9, 9], [1, 1, 9, 9]]
    assert rows.right.tolist() == [True, False]
    assert rows.tasks == ("t",)
    assert rows.mixed == [0]
    assert rows.prompts is not None
    assert rows.prompts.tolist() == [[9, 9]]
    assert rows.first is not None
    assert rows.first.tolist() == [True]
    assert rows.share is not None
    assert rows.share.tolist() == [0.5]


def test_a_span_of_another_text_is_none(tmp_path: Path) -> None:
    samples(tmp_path, text="something else {}")
    with pytest.raises(BadInput, match=r"no candidate of .* has a span embedding"):
        read_rows([a_task(tmp_path, in_journal=False)], "span", ("mean",))


def test_surface_rows_know_less_when_they_are_drawn(tmp_path: Path) -> None:
    rows = read_rows([a_task(tmp_path, in_journal=False)], "surface", ())
    assert list(rows.x) == ["drawn", "run", "compared"]
    assert {x.shape for x in rows.x.values()} == {(2, rows.features.dimension)}
    assert rows.prompts is None
