"""Patch 0002: the states of the generated span, against a full prefill through the unpatched server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from httpx_sse import connect_sse

from atlas.models import ModelFile
from benchmark.datasets import load
from benchmark.native_llama import NativeLlama, serve
from benchmark.span_equality import Span, agreement, cosine, reference, worst

pytestmark = pytest.mark.integration

MEAN_AT_LEAST, LAST_AT_LEAST = 0.999, 0.998
PROMPTS = [task.problem.statement[:160] + "\n\n```python\n" for task in load("bundled", limit=20)]
STATES = {"return_embedding": True, "return_prompt_embedding": True, "return_tokens": True}
SPECULATION = {
    "plain": (),
    # The model as its own draft: at temperature 0 nothing would be rejected, so these draw at 0.9.
    "draft": ("--spec-type", "draft-simple", "--spec-draft-n-max", "4", "--model-draft"),
    "ngram": (
        "--spec-type",
        "ngram-simple",
        "--spec-ngram-simple-size-n",
        "2",
        "--spec-ngram-simple-size-m",
        "6",
    ),
}


def complete(server: NativeLlama, prompt: str, **fields: object) -> dict[str, Any]:
    (choice,) = server.complete({"prompt": prompt, "n_predict": 16, "temperature": 0, **STATES, **fields})
    return choice


def refused_drafts(answer: dict[str, Any]) -> int:
    timings = answer["timings"]
    return int(timings.get("draft_n", 0)) - int(timings.get("draft_n_accepted", 0))


@pytest.fixture(scope="module")
def rounding(
    native_llama: Path, stock: NativeLlama, smol_model: ModelFile, tmp_path_factory: pytest.TempPathFactory
) -> float:
    """Worst cosine of /embedding's own rows, read two at a time, to the unpatched server's, read at once.

    A processor's kernels for few tokens and for many may round farther apart than the bar: no span is nearer.
    """
    flags = ("--pooling", "none", "--batch-size", "2", "--ubatch-size", "2")  # the least that it starts with
    log, least = tmp_path_factory.mktemp("rounding") / "log", 1.0
    with serve(native_llama, smol_model.path, log, *flags, slots=1) as by_pairs:
        for prompt in PROMPTS:
            asked = by_pairs.tokens(prompt)
            tokens = asked + complete(by_pairs, prompt, n_predict=24)["tokens"][:-1]
            start = len(asked) - 1
            least = min(least, worst(by_pairs.embed(tokens)[start:], stock.embed(tokens)[start:]))
    return least


@pytest.mark.parametrize("speculation", SPECULATION)
def test_the_span_is_that_of_a_full_prefill(
    speculation: str,
    native_llama: Path,
    stock: NativeLlama,
    smol_model: ModelFile,
    rounding: float,
    tmp_path: Path,
) -> None:
    flags = ["--pooling", "mean", *SPECULATION[speculation]]
    if speculation == "draft":
        flags.append(str(smol_model.path))
    body = {"n_predict": 24, "temperature": 0.9 if speculation == "draft" else 0.0, "seed": 1}
    with serve(native_llama, smol_model.path, tmp_path / "log", *flags) as server:
        found = [agreement(server, stock, prompt, body) for prompt in PROMPTS]
    assert len(found) == 20
    assert min(each.mean for each in found) >= MEAN_AT_LEAST
    assert min(each.last for each in found) >= min(LAST_AT_LEAST, rounding)
    assert min(each.prompt_last for each in found) >= min(LAST_AT_LEAST, rounding)
    drafted, accepted = sum(each.drafted for each in found), sum(each.accepted for each in found)
    if speculation != "plain":
        assert drafted > accepted > 0, "drafts were accepted, and drafts were rejected"


@pytest.mark.parametrize("speculation", SPECULATION)
def test_token_by_token_the_states_are_the_same(
    speculation: str, native_llama: Path, smol_model: ModelFile, tmp_path: Path
) -> None:
    """With one token to a batch every state comes from the same kernels, so nothing excuses a difference.

    The reference is the last state of each prefix, asked for one by one.
    """
    flags = ["--batch-size", "64", "--ubatch-size", "1", *SPECULATION[speculation]]
    if speculation == "draft":
        flags.append(str(smol_model.path))
    temperature = 0.9 if speculation == "draft" else 0.0
    with serve(native_llama, smol_model.path, tmp_path / "log", *flags, slots=1, embeddings=False) as server:
        exact = {"embedding_encoding": "float32", "temperature": temperature, "seed": 2}
        answers = {text: complete(server, text, n_predict=24, **exact) for text in PROMPTS}
        # One whose drafts were partly refused: which that is depends on how the processor rounds.
        text = max(PROMPTS, key=lambda text: refused_drafts(answers[text]))
        whole, prompt, rows = answers[text], server.tokens(text), []
        for length in range(24):
            (one,) = server.complete(
                {"prompt": prompt + whole["tokens"][:length], "n_predict": 1, **STATES, **exact}
            )
            rows.append(Span.of(one["span_embedding"]).prompt_last)
    span, states = Span.of(whole["span_embedding"]), np.asarray(rows)
    np.testing.assert_allclose(span.mean, states.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(span.last, states[-1], rtol=1e-4, atol=1e-5)
    if speculation != "plain":
        assert refused_drafts(whole) > 0


def test_states_one_token_off_are_farther_by_far(patched: NativeLlama, stock: NativeLlama) -> None:
    """Means of neighbouring spans are so alike (0.999) that the bars alone would pass a shift by one."""
    for prompt in PROMPTS[:4]:
        answer = complete(patched, prompt)
        span = Span.of(answer["span_embedding"])
        states = reference(stock, patched.tokens(prompt), answer["tokens"])
        assert (
            1 - cosine(span.mean, states.mean(axis=0)) < (1 - cosine(span.mean, states[1:].mean(axis=0))) / 3
        )
        assert (
            1 - cosine(span.mean, states.mean(axis=0)) < (1 - cosine(span.mean, states[:-1].mean(axis=0))) / 3
        )
        assert 1 - cosine(span.last, states[-1]) < (1 - cosine(span.last, states[-2])) / 10


def test_the_stop_token_counts_and_a_stop_string_too(patched: NativeLlama, stock: NativeLlama) -> None:
    ended = complete(patched, patched.prompt("Say hi."), n_predict=200)
    assert ended["stop_type"] == "eos"
    word = complete(patched, "1, 2, 3, 4, 5, 6,", n_predict=60, stop=["9"])
    assert word["stop_type"] == "word"
    for prompt, answer in ((patched.prompt("Say hi."), ended), ("1, 2, 3, 4, 5, 6,", word)):
        span = Span.of(answer["span_embedding"])
        assert span.n_tokens == answer["tokens_predicted"] == len(answer["tokens"])
        states = reference(stock, patched.tokens(prompt), answer["tokens"])
        assert cosine(span.mean, states.mean(axis=0)) >= MEAN_AT_LEAST
        assert cosine(span.last, states[-1]) >= LAST_AT_LEAST


def test_a_cached_prompt_gives_the_same_states(patched: NativeLlama) -> None:
    cold = complete(patched, PROMPTS[2], cache_prompt=False)
    warm = complete(patched, PROMPTS[2], id_slot=cold["id_slot"])
    assert warm["timings"]["cache_n"] > 20
    assert warm["tokens"] == cold["tokens"]
    one, two = Span.of(cold["span_embedding"]), Span.of(warm["span_embedding"])
    assert min(cosine(one.mean, two.mean), cosine(one.last, two.last)) >= LAST_AT_LEAST
    assert one.prompt_last is not None
    assert two.prompt_last is not None
    assert cosine(one.prompt_last, two.prompt_last) >= LAST_AT_LEAST


def test_each_of_n_choices_has_the_states_of_its_own_tokens(patched: NativeLlama, stock: NativeLlama) -> None:
    body = {"prompt": PROMPTS[3], "n_predict": 24, "temperature": 1.0, "seed": 5, "n_cmpl": 4, **STATES}
    choices = patched.complete(body)
    assert len({choice["content"] for choice in choices}) == 4
    prompt = patched.tokens(PROMPTS[3])
    for choice in choices:
        span, states = Span.of(choice["span_embedding"]), reference(stock, prompt, choice["tokens"])
        assert cosine(span.mean, states.mean(axis=0)) >= MEAN_AT_LEAST
        assert cosine(span.last, states[-1]) >= LAST_AT_LEAST


def test_parallel_requests_that_want_states_and_that_do_not(patched: NativeLlama, stock: NativeLlama) -> None:
    def ask(number: int) -> dict[str, Any]:
        fields = {} if number % 2 == 0 else {"return_embedding": False, "return_prompt_embedding": False}
        return complete(patched, PROMPTS[number], n_predict=8 + 4 * number, **fields)

    with ThreadPoolExecutor(8) as pool:  # twice the slots: they also begin and end while others run
        answers = list(pool.map(ask, range(8)))
    embedded = ThreadPoolExecutor(1).submit(patched.embed, PROMPTS[0])  # a task of another kind, right after
    for number, answer in enumerate(answers):
        assert ("span_embedding" in answer) == (number % 2 == 0)
        if number % 2 == 0:
            states = reference(stock, patched.tokens(PROMPTS[number]), answer["tokens"])
            span = Span.of(answer["span_embedding"])
            assert span.n_tokens == 8 + 4 * number
            assert cosine(span.mean, states.mean(axis=0)) >= MEAN_AT_LEAST
            assert cosine(span.last, states[-1]) >= LAST_AT_LEAST
    assert embedded.result().shape == (1, len(span.mean))


def test_streamed_the_last_chunk_of_each_choice_has_it(patched: NativeLlama) -> None:
    body = {"prompt": PROMPTS[4], "n_predict": 12, "temperature": 0.8, "seed": 3, "n_cmpl": 2, **STATES}
    whole = patched.complete(body)
    last: dict[int, dict[str, Any]] = {}
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(client, "POST", f"{patched.url}/completion", json=body | {"stream": True}) as source,
    ):
        for event in source.iter_sse():
            chunk = json.loads(event.data)
            assert ("span_embedding" in chunk) == chunk["stop"]
            if chunk["stop"]:
                last[chunk["index"]] = chunk
    assert sorted(last) == [0, 1]
    for index, choice in enumerate(whole):
        one, two = Span.of(choice["span_embedding"]), Span.of(last[index]["span_embedding"])
        assert one.n_tokens == two.n_tokens == 12
        assert cosine(one.mean, two.mean) >= MEAN_AT_LEAST


def test_chat_choices_have_it_streamed_and_whole(patched: NativeLlama) -> None:
    body = {
        "messages": [{"role": "user", "content": "Name two animals."}],
        "max_tokens": 12,
        "temperature": 0.8,
        "seed": 3,
        "n": 2,
        "return_embedding": True,
    }
    whole = patched.post("/v1/chat/completions", body)["choices"]
    assert [choice["span_embedding"]["n_tokens"] for choice in whole] == [12, 12]
    assert "prompt_last" not in whole[0]["span_embedding"]
    streamed: dict[int, dict[str, Any]] = {}
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(
            client, "POST", f"{patched.url}/v1/chat/completions", json=body | {"stream": True}
        ) as source,
    ):
        for event in source.iter_sse():
            for choice in json.loads(event.data)["choices"] if event.data != "[DONE]" else ():
                if "span_embedding" in choice:
                    assert choice["finish_reason"] == "length"
                    streamed[choice["index"]] = choice["span_embedding"]
    for choice in whole:
        one, two = Span.of(choice["span_embedding"]), Span.of(streamed[choice["index"]])
        assert cosine(one.mean, two.mean) >= MEAN_AT_LEAST
    legacy = patched.post("/v1/completions", {"prompt": "Hi", "max_tokens": 4, "return_embedding": True})
    assert legacy["choices"][0]["span_embedding"]["n_tokens"] == 4


def test_float16_is_the_default_and_float32_says_the_same(patched: NativeLlama) -> None:
    half = complete(patched, PROMPTS[5], cache_prompt=False)["span_embedding"]
    full = complete(patched, PROMPTS[5], cache_prompt=False, embedding_encoding="float32")["span_embedding"]
    assert (half["encoding"], full["encoding"]) == ("float16", "float32")
    assert len(full["mean"]) == pytest.approx(2 * len(half["mean"]), abs=4)
    np.testing.assert_allclose(Span.of(half).mean, Span.of(full).mean, rtol=1e-3, atol=1e-3)


def test_props_advertise_the_convention(patched: NativeLlama, stock: NativeLlama) -> None:
    advertised = patched.get("/props")["span_embedding"]
    width = len(patched.embed("x")[0])
    assert advertised == {"version": 1, "n_embd": width, "encodings": ["float16", "float32"]}
    assert "span_embedding" not in stock.get("/props")


def test_without_the_flag_for_embeddings_spans_are_there_all_the_same(
    native_llama: Path, stock: NativeLlama, smol_model: ModelFile, tmp_path: Path
) -> None:
    with serve(native_llama, smol_model.path, tmp_path / "log", embeddings=False) as server:
        assert server.get("/props")["span_embedding"]["version"] == 1
        found = agreement(server, stock, PROMPTS[0], {"n_predict": 16, "temperature": 0})
    assert found.mean >= MEAN_AT_LEAST


def test_nothing_is_returned_unasked_and_nonsense_is_refused(patched: NativeLlama) -> None:
    (plain,) = patched.complete({"prompt": "Hi", "n_predict": 2})
    assert "span_embedding" not in plain
    for wrong in ({"return_embedding": "yes"}, {"embedding_encoding": "int8"}, {"embedding_encoding": 2}):
        refused = httpx.post(f"{patched.url}/completion", json={"prompt": "Hi", "n_predict": 2, **wrong})
        assert refused.status_code == 400, wrong
        assert next(iter(wrong)) in refused.json()["error"]["message"]


def test_a_request_without_tokens_has_no_vectors(patched: NativeLlama) -> None:
    answer = complete(patched, "", n_predict=4)
    assert answer["tokens_predicted"] == 0
    assert answer["span_embedding"] == {"n_tokens": 0, "n_embd": 0, "encoding": "float16"}
