"""The frozen model server: a journal's calls are answered as they were, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from atlas.contracts import Problem, SamplingParams, Usage
from atlas.errors import ModelServerError
from atlas.events import Choice, Entry, ModelCallFinished, Pins, TaskSubmitted
from atlas.llama import CompletionRequest, LlamaClient
from atlas.llama_stream import summarise
from atlas.model_facts import ModelFacts
from atlas.policy import A
from benchmark.recorded.completions import CompletionStore
from benchmark.recorded.executions import ExecutionStore
from benchmark.recorded.journals import read_journal
from benchmark.recorded.model_app import Counts, frozen
from benchmark.recorded.serving import served

SAMPLING = SamplingParams(temperature=0.7, max_tokens=100, seed=5)
FACTS = ModelFacts(
    model="m", chat_template="{{ messages | tojson }}", context_tokens=300, slots=2, span_n_embd=2, time=0
)
VECTOR = "AAAAAA=="  # two float16


def choice(text: str, tokens: int, **more: Any) -> Choice:
    usage = Usage(tokens_in=40, tokens_out=tokens, tokens_cached=3)
    finish = more.pop("finish", "stop")
    logprob = summarise([-0.1 * i for i in range(tokens)])
    return Choice(text=text, usage=usage, finish=finish, logprob=logprob, **more)


def finished(*choices: Choice, prompt: str = "p", **more: Any) -> ModelCallFinished:
    call = f"generate:0/{prompt}"
    return ModelCallFinished(
        command="generate:0",
        call=call,
        prompt=prompt,
        sampling=SAMPLING,
        choices=choices,
        server_s=1.5,
        **more,
    )


def store_of(*calls: ModelCallFinished) -> CompletionStore:
    pins = Pins(pipeline="2", prompts_sha256="", model="m")
    submitted = TaskSubmitted(problem=Problem(statement="x"), policy=A, pins=pins, deadline_s=9)
    store = CompletionStore()
    events = [submitted, *calls]
    read_journal(
        [Entry(seq=i, time=0.0, event=event) for i, event in enumerate(events, 1)], store, ExecutionStore()
    )
    return store


@asynccontextmanager
async def server(store: CompletionStore, counts: Counts | None = None) -> AsyncIterator[LlamaClient]:
    async with served(frozen(store, FACTS, counts or Counts())) as url:
        client = LlamaClient(url, patience_s=0.2)
        try:
            yield client
        finally:
            await client.aclose()


def ask(prompt: str = "p", *, n: int = 1, seed: int = 5, **more: Any) -> CompletionRequest:
    sampling = SAMPLING.model_copy(update={"seed": seed, **more.pop("drawn", {})})
    return CompletionRequest(prompt=prompt, sampling=sampling, n=n, **more)


async def test_a_journalled_call_is_answered_as_it_was_and_so_are_its_choices_alone() -> None:
    drawn = (choice("one", 30), choice("two", 7, stopped_by="END"), choice("three", 100, finish="length"))
    async with server(store_of(finished(*drawn, slot=1))) as client:
        answer = await client.complete(ask(stop=("END",)))
        assert answer.choices == drawn[:1]
        assert (answer.slot, answer.server_s) == (1, 1.5)
        (second,) = (await client.complete(ask(seed=6, stop=("END",)))).choices
        assert (second.text, second.stopped_by) == ("two", "END")
        (third,) = (await client.complete(ask(seed=7))).choices
        assert (third.text, third.finish, third.logprob) == ("three", "length", drawn[2].logprob)
        assert (
            await client.chat_prompt([{"role": "user", "content": "é"}])
            == '[{"role": "user", "content": "é"}]'
        )
        assert (await client.facts()).slots == 2


async def test_what_was_never_drawn_is_refused_by_name_and_not_asked_again() -> None:
    counts = Counts()
    async with server(store_of(finished(choice("one", 30))), counts) as client:
        for request in (ask(n=2), ask(seed=9), ask("q"), ask(json_schema={"type": "object"})):
            with pytest.raises(ModelServerError, match="Unanswerable") as refused:
                await client.complete(request)
            assert not refused.value.retryable
        assert counts.unanswerable == 4
        assert "seed 9" in counts.refused[1]
        with pytest.raises(ModelServerError, match="answers 404"):
            await client.embed("text")


async def test_a_prompt_that_may_not_fit_has_the_length_it_had() -> None:
    long = "p" * 280
    async with server(store_of(finished(choice("one", 30), prompt=long))) as client:
        (drawn,) = (await client.complete(ask(long))).choices  # 40 tokens, not 280
        assert drawn.text == "one"
        with pytest.raises(ModelServerError, match="the length of a prompt"):
            await client.complete(ask("q" * 280))


async def test_span_embeddings_are_there_where_they_were() -> None:
    span = {"n_tokens": 30, "n_embd": 2, "mean": VECTOR, "last": VECTOR, "prompt_last": VECTOR}
    with_span = Choice.model_validate(choice("one", 30).model_dump() | {"span": span})
    async with server(store_of(finished(with_span))) as client:
        assert (await client.facts()).span_n_embd == 2
        (drawn,) = (await client.complete(ask(embedding=True))).choices
        assert drawn == with_span
    async with server(store_of(finished(choice("one", 30)))) as client:
        assert (await client.facts()).span_n_embd is None
        (drawn,) = (await client.complete(ask(embedding=True))).choices
        assert drawn.span is None


async def test_many_calls_at_once() -> None:
    drawn = tuple(choice(str(i), 30) for i in range(20))
    async with server(store_of(finished(*drawn))) as client:
        answers = await asyncio.gather(*(client.complete(ask(seed=5 + i)) for i in range(20)))
    assert [answer.choices[0].text for answer in answers] == [str(i) for i in range(20)]
