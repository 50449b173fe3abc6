"""Model calls in a task's journal: whole, with their vectors; and what a call that fails leaves behind."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable

import pytest
from histories import SAMPLING, model_call, submission
from prometheus_client import REGISTRY
from worker_bench import Bench, new_bench, solver

from atlas.commands import Generate
from atlas.contracts import Usage
from atlas.errors import ModelServerError
from atlas.events import ModelCallFinished
from atlas.journal import Journal
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.model_calls import call
from atlas.policy import A
from atlas.redis_client import connect
from atlas.span_embedding import SpanEmbedding
from atlas.state import TaskState, fold
from atlas.worker import direct

bench = pytest.fixture(new_bench)
N_EMBD = 5120  # of a 14B model


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    yield journal
    await journal.redis.aclose()


def with_spans(event: ModelCallFinished, n: int) -> ModelCallFinished:
    def vector(value: int) -> str:
        return base64.b64encode(bytes([value]) * 2 * N_EMBD).decode()

    choices = tuple(
        event.choices[0].model_copy(
            update={
                "span": SpanEmbedding(
                    n_tokens=5, n_embd=N_EMBD, mean=vector(i), last=vector(i + 50), prompt_last=vector(100)
                )
            }
        )
        for i in range(n)
    )
    return event.model_copy(update={"choices": choices})


async def test_the_vectors_of_a_call_are_journalled_and_no_state_keeps_them(journal: Journal) -> None:
    await journal.submit("t", submission(A))
    event = with_spans(model_call("generate:0"), 8)
    assert len(event.model_dump_json()) > 300_000
    await journal.record("t", event, once="call")
    entries = await journal.read("t")
    assert entries[-1].event == event
    raw = await journal.redis.xrange("{atlas}:journal:t")
    assert max(len(fields["e"]) for _, fields in raw) < 5_000, "long events are blobs of their own"
    for state in (await journal.state("t"), fold(TaskState(), entries)):
        (kept,) = state.calls.values()
        assert len(kept.choices) == 8
        assert all(choice.span is None for choice in kept.choices)
        assert kept.choices[0].text == event.choices[0].text


async def test_a_call_lasts_no_longer_than_its_task_may() -> None:
    server = FakeModelServer(lambda _: "one")
    context = direct(submission(A), command := Generate(id="generate:0", first=0))
    request = CompletionRequest(prompt="p", sampling=SAMPLING)
    await call(context, server, "a", request)
    await call(context, server, "b", request.model_copy(update={"timeout_s": 5.0}))
    assert command.id in context.state.open
    assert [asked.timeout_s for asked in server.requests] == [600, 5]


class BreaksOff(FakeModelServer):
    """Draws four tokens and fails, once; then it answers."""

    def __init__(self, error: Callable[[], ModelServerError]) -> None:
        super().__init__(lambda _: "one two three")
        self.error: Callable[[], ModelServerError] | None = error

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        if self.error is None:
            return await super().complete(request, on_tokens)
        assert on_tokens
        on_tokens(4)
        error, self.error = self.error, None
        raise error()


async def test_tokens_of_an_attempt_that_broke_off_are_counted_as_late(bench: Bench) -> None:
    bench.start(solver(BreaksOff(lambda: ModelServerError("away"))))
    await bench.journal.submit("t", submission(A))
    state = await bench.until(lambda s: s.candidates)
    assert state.usage.tokens_out == 3
    assert await bench.journal.late_tokens("t") == 4
    assert not state.failures


async def test_tokens_of_a_call_that_was_given_up_are_counted_as_late_and_journalled(bench: Bench) -> None:
    bench.start(solver(BreaksOff(lambda: ModelServerError("at its timeout", retryable=False))))
    await bench.journal.submit("t", submission(A))
    state = await bench.until(lambda s: s.failures)
    assert state.usage.tokens_out == 0
    assert await bench.journal.late_tokens("t") == 4
    (failed,) = state.failures.values()
    assert failed.lost_tokens == 4
    assert failed.lost_s > 0


async def test_tokens_are_counted_for_the_metrics_once_a_call() -> None:
    def counted() -> dict[str, float]:
        kinds = ("prompt", "cached", "generated", "drafted", "accepted")
        value = REGISTRY.get_sample_value
        return {kind: value("atlas_model_tokens_total", {"kind": kind}) or 0 for kind in kinds}

    class Drafting(FakeModelServer):
        async def complete(
            self, request: CompletionRequest, on_tokens: OnTokens | None = None
        ) -> CompletionResult:
            result = await super().complete(request, on_tokens)
            usage = Usage(tokens_in=7, tokens_cached=5, tokens_out=4, tokens_drafted=6, tokens_accepted=3)
            choices = tuple(choice.model_copy(update={"usage": usage}) for choice in result.choices)
            return result.model_copy(update={"choices": choices})

    before = counted()
    context = direct(submission(A), Generate(id="generate:0", first=0))
    request = CompletionRequest(prompt="p", sampling=SAMPLING, n=2)
    for _ in range(2):  # the second time it is in the journal
        await call(context, Drafting(lambda _: "one"), "code:0", request)
    added = {kind: value - before[kind] for kind, value in counted().items()}
    assert added == {"prompt": 14, "cached": 10, "generated": 8, "drafted": 12, "accepted": 6}
