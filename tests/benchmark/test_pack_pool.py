"""Packed samples: the same bytes every time, everything put back, no prompt in them, wrong ones refused."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from atlas.contracts import LogprobSummary, SamplingParams, Usage
from atlas.errors import BadInput, Conflict
from atlas.events import Choice
from atlas.model_facts import ModelFacts
from atlas.span_embedding import SpanEmbedding
from benchmark.pack_pool import pack, parse, read_packed, unpack
from benchmark.recorded.completions import Call, CompletionStore, Piece, Recorded
from benchmark.recorded.model_file import save_model_facts
from benchmark.recorded.pool import COMPLETIONS
from benchmark.recorded.recording import Recording, save_recording

RECORDING = Recording(
    dataset="bundled",
    dataset_sha256="d" * 64,
    ids_sha256="1" * 64,
    tasks=2,
    model="m",
    model_sha256="a" * 64,
    k=3,
    seed=0,
    temperature=0.7,
    max_tokens=100,
)
FACTS = ModelFacts(model="m", chat_template="{{ messages }}", context_tokens=4096, slots=2, time=1.0)
PROMPT = "A secret statement: {}"


def call(task: int, seed: int) -> Call:
    sampling = SamplingParams(temperature=0.7, max_tokens=100, seed=seed)
    return Call(model="m", prompt=PROMPT.format(task), sampling=sampling)


def recorded(text: str) -> Recorded:
    summary = LogprobSummary(mean=-0.25, minimum=-0.5, lowest_decile=-0.5)
    choice = Choice(text=text, usage=Usage(tokens_in=9, tokens_out=2), finish="stop", logprob=summary)
    pieces = (Piece(1, text[:1], (-0.5,)), Piece(2, text[1:], (0.0,)))
    return Recorded(choice=choice, asked=100, stop=(), predicted_s=0.1 + 0.2, pieces=pieces)


def make_pool(path: Path, tasks: int = 2) -> Path:
    save_recording(path / "pool", RECORDING)
    save_model_facts(path / "pool", FACTS)
    store = CompletionStore(path / "pool" / COMPLETIONS)
    for task in range(tasks):
        for seed in range(3):
            store.add(call(task, seed), {seed: recorded(f"{task} é {seed}")})
    store.close()
    return path


@pytest.mark.parametrize("pieces", [False, True])
def test_what_is_packed_comes_back_and_packs_to_the_same_bytes(tmp_path: Path, pieces: bool) -> None:
    first, again = tmp_path / "1.xz", tmp_path / "2.xz"
    packed = pack(make_pool(tmp_path / "there"), first, pieces=pieces)
    assert (packed.choices, packed.tasks, packed.bytes) == (6, 2, first.stat().st_size)
    assert unpack(first, tmp_path / "here").new == 6
    assert unpack(first, tmp_path / "here").new == 0
    pack(tmp_path / "here", again, pieces=pieces)
    assert again.read_bytes() == first.read_bytes()
    store = CompletionStore(tmp_path / "here" / "pool" / COMPLETIONS)
    found = store.find(call(1, 2), 2)
    store.close()
    expected = recorded("1 é 2")
    assert found == (expected if pieces else expected.model_copy(update={"pieces": None}))


def test_hidden_states_are_packed_only_where_they_are_asked_for(tmp_path: Path) -> None:
    span = SpanEmbedding(n_tokens=2, n_embd=1, mean="AAA=", last="AAA=", prompt_last="AAA=")
    there = make_pool(tmp_path / "there", tasks=0)
    store = CompletionStore(there / "pool" / COMPLETIONS)
    drawn = recorded("x")
    with_span = drawn.choice.model_copy(update={"span": span})
    store.add(call(0, 0), {0: drawn.model_copy(update={"choice": with_span})})
    store.close()
    for spans in (True, False):
        pack(there, tmp_path / "p.xz", spans=spans)
        (row,) = read_packed(tmp_path / "p.xz")[1]
        assert row.recorded.choice.span == (span if spans else None)
        assert row.recorded.choice.text == "x"
        assert unpack(tmp_path / "p.xz", there).new == 0, "it is there, with or without them"


def test_no_prompt_is_in_it(tmp_path: Path) -> None:
    pack(make_pool(tmp_path / "pool"), tmp_path / "p.xz", pieces=True)
    assert b"secret" not in lzma.decompress((tmp_path / "p.xz").read_bytes())


def test_samples_that_are_there_stay_and_are_not_doubled(tmp_path: Path) -> None:
    pack(make_pool(tmp_path / "there"), tmp_path / "p.xz")
    made = unpack(tmp_path / "p.xz", make_pool(tmp_path / "begun", tasks=1))
    assert (made.choices, made.new) == (6, 3)


def test_samples_of_another_recording_are_refused(tmp_path: Path) -> None:
    pack(make_pool(tmp_path / "there"), tmp_path / "p.xz")
    other = tmp_path / "other"
    save_recording(other / "pool", RECORDING.model_copy(update={"seed": 7, "dataset": "elsewhere"}))
    with pytest.raises(Conflict, match=r": seed was 7, is 0$"):
        unpack(tmp_path / "p.xz", other)


def test_what_is_not_whole_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.xz"
    pack(make_pool(tmp_path / "pool"), file)
    whole = file.read_bytes()
    lines = lzma.decompress(whole).splitlines(keepends=True)
    for content in (whole[:-40], b"", b"no xz", lzma.compress(b"".join(lines[:-1])), lzma.compress(b"{}\n")):
        file.write_bytes(content)
        with pytest.raises(BadInput):
            read_packed(file)
    with pytest.raises(BadInput, match="holds no samples"):
        pack(tmp_path / "nothing", file)


def test_arguments() -> None:
    assert parse(["pool", "file", "--unpack"]).unpack
    with pytest.raises(SystemExit):
        parse(["pool", "file", "--unpack", "--pieces"])
    with pytest.raises(SystemExit):
        parse(["pool", "file", "--unpack", "--spans"])
