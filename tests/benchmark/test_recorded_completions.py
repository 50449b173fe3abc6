"""Recorded choices: which calls they answer, their log-probabilities, and what a kill leaves of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import LogprobSummary, SamplingParams, Usage
from atlas.errors import BadInput, InfrastructureError
from atlas.events import Choice
from atlas.llama_stream import Drawing, summarise
from atlas.span_embedding import SpanEmbedding
from benchmark.recorded.chunks import chunks_of, recorded_of
from benchmark.recorded.completions import Call, CompletionStore, Piece, Recorded, spread

logprobs = st.lists(st.floats(-100, 0).map(lambda x: x + 0.0), min_size=1, max_size=300)


def call(max_tokens: int = 100, **more: Any) -> Call:
    sampling = SamplingParams(temperature=0.7, max_tokens=max_tokens, seed=1)
    return Call(model="m", prompt="p", sampling=sampling).model_copy(update=more)


def choice(
    text: str = "a b c", tokens: int = 3, finish: Literal["stop", "length"] = "stop", **more: Any
) -> Choice:
    return Choice(text=text, usage=Usage(tokens_in=9, tokens_out=tokens), finish=finish, **more)


@given(logprobs)
def test_log_probabilities_of_a_summary_have_that_summary(values: list[float]) -> None:
    summary = summarise(values)
    assert summary is not None
    again = summarise(spread(summary, len(values)))
    assert again is not None
    assert again.mean == pytest.approx(summary.mean, rel=1e-14, abs=1e-300)
    assert again.minimum == pytest.approx(summary.minimum, rel=1e-9, abs=1e-9)
    assert again.lowest_decile == pytest.approx(summary.lowest_decile, rel=1e-9, abs=1e-9)


@given(st.floats(-100, 0), st.floats(-100, 0), st.floats(-100, 0), st.integers(0, 200))
def test_any_summary_gives_log_probabilities(mean: float, low: float, decile: float, tokens: int) -> None:
    """Those of a journal need not fit their number of tokens exactly: a stop token has none, for one."""
    values = spread(LogprobSummary(mean=mean, minimum=low, lowest_decile=decile), tokens)
    assert len(values) == max(1, tokens)
    assert all(value <= 0 for value in values)


@given(st.text(max_size=40), st.integers(1, 60), st.sampled_from(["stop", "length"]), logprobs)
def test_a_choice_streamed_as_a_server_would_is_the_same_choice(
    text: str, tokens: int, finish: Literal["stop", "length"], values: list[float]
) -> None:
    usage = Usage(tokens_in=9, tokens_out=tokens, tokens_cached=4, tokens_drafted=6, tokens_accepted=5)
    drawn = Choice(text=text, usage=usage, finish=finish, logprob=summarise(values))
    pieces = (Piece(tokens, text, tuple(values)),)
    recorded = Recorded(choice=drawn, asked=tokens, stop=(), slot=3, predicted_s=2.0, pieces=pieces)
    drawing = Drawing(1)
    for chunk in chunks_of(recorded):
        drawing.take(json.dumps(chunk | {"index": 0}))
    (streamed,), slot, server_s = drawing.whole()
    assert (streamed, slot, server_s) == (drawn, 3, 2.0)
    (again,) = recorded_of(call(tokens), [chunks_of(recorded)], None)
    assert again.choice == drawn


def test_a_choice_that_ended_by_itself_answers_any_budget_it_fits() -> None:
    whole = Recorded(choice=choice(), asked=10, stop=None)
    assert whole.answer(call(3)) is whole
    assert whole.answer(call(1000)) is whole
    assert whole.answer(call(2)) is None


def test_one_cut_by_its_budget_answers_that_budget_alone() -> None:
    cut = Recorded(choice=choice(finish="length"), asked=3, stop=None)
    assert cut.answer(call(3)) is cut
    assert cut.answer(call(4)) is None
    assert cut.answer(call(2)) is None


def test_stop_strings_are_matched_and_where_they_are_not_known_must_fit_the_text() -> None:
    plain = Recorded(choice=choice(), asked=10, stop=None)
    stopped = Recorded(choice=choice(stopped_by="</think>"), asked=10, stop=None)
    assert plain.answer(call(stop=("</think>",))) is plain
    assert plain.answer(call(stop=("b",))) is None
    assert stopped.answer(call(stop=("</think>",))) is stopped
    assert stopped.answer(call()) is None
    known = Recorded(choice=choice(), asked=10, stop=("x",))
    assert known.answer(call(stop=("x",))) is known
    assert known.answer(call()) is None


def test_a_span_embedding_must_be_there_where_it_is_asked_for() -> None:
    plain = Recorded(choice=choice(), asked=10, stop=())
    assert plain.answer(call(embedding=True)) is None
    empty = Recorded(choice=choice("", 0), asked=10, stop=())
    assert empty.answer(call(embedding=True)) is empty


def test_the_first_drawing_stays(tmp_path: Path) -> None:
    store = CompletionStore(tmp_path / "x.sqlite")
    store.add(call(), {1: Recorded(choice=choice("first"), asked=100, stop=())})
    store.add(call(), {1: Recorded(choice=choice("second"), asked=100, stop=())})
    found = store.find(call(), 1)
    assert found is not None
    assert found.choice.text == "first"
    assert (len(store), store.tokens_in("p"), store.tokens_in("q")) == (1, 9, None)
    store.close()


def test_what_is_no_call_or_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a call"):
        Call.of({"prompt": "p"}, "m")
    (tmp_path / "x").write_text("something else " * 100)
    with pytest.raises(InfrastructureError, match="cannot open"):
        CompletionStore(tmp_path / "x")


KILLED = """
import os, sys
from pathlib import Path
from benchmark.recorded.completions import CompletionStore, Recorded
sys.path.insert(0, sys.argv[2])
from test_recorded_completions import call, choice
store = CompletionStore(Path(sys.argv[1]))
for seed in range(50):
    store.add(call(), {seed: Recorded(choice=choice(str(seed)), asked=100, stop=())})
store._database.execute("BEGIN")
store._insert(call(), 50, Recorded(choice=choice("half"), asked=100, stop=()))
os.kill(os.getpid(), 9)
"""


@pytest.mark.integration
def test_a_killed_process_leaves_what_it_has_recorded_and_nothing_half(tmp_path: Path) -> None:
    path, here = tmp_path / "x.sqlite", Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", KILLED, path, here], cwd=here.parents[1])
    assert done.returncode == -9
    store = CompletionStore(path)
    assert len(store) == 50
    assert store.find(call(), 49) is not None
    assert store.find(call(), 50) is None
    store.close()


def test_a_span_is_kept_beside_its_choice_and_no_other(tmp_path: Path) -> None:
    span = SpanEmbedding(n_tokens=3, n_embd=1, mean="AAA=", last="AAA=", prompt_last="AAA=")
    store = CompletionStore(tmp_path / "c.sqlite")
    one, other = (Recorded(choice=choice(text), asked=100, stop=()) for text in ("a b c", "d e f"))
    store.add(call(), {1: one, 2: other})
    spanned = one.model_copy(update={"choice": one.choice.model_copy(update={"span": span})})
    store.add_span(call(), 1, spanned)
    store.add_span(call(), 2, spanned)  # not what was recorded of that seed
    assert store.find(call(embedding=True), 1) == spanned
    assert store.find(call(), 2) == other
    assert len(store) == 2
    store.close()
