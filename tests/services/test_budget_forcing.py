"""Budget forcing, driven through a scripted server that speaks HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atlas.commands import Generate
from atlas.contracts import Candidate, Example, Problem, Thinking, Usage
from atlas.errors import BudgetSpent, ModelServerError
from atlas.events import Pins, TaskSubmitted
from atlas.llama import CompletionRequest, CompletionResult, LlamaClient, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.policy import Part, Policy, missing
from atlas.thinking import USUAL_TAGS, ThinkingTags
from atlas.worker import Context, direct
from services.planner.budget_forcing import APPENDED_TOKENS, STUB, WAIT
from services.planner.sampling import generate
from tests.support.thinking_llama import Model, ThinkingLlama, policy

ANSWER = "So:\n```python\nprint(int(input()) * 2)\n```\n"
ANSWER_TOKENS = 7  # as the scripted server counts
PROGRAM = "print(int(input()) * 2)\n"
PROBLEM = Problem(statement="Double the number.", examples=(Example(input="2", output="4"),))
PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="thinker", thinks=True)
OPEN, CLOSE = USUAL_TAGS.opening, USUAL_TAGS.closing


def context(asked: Policy, n: int = 1) -> Context:
    submitted = TaskSubmitted(problem=PROBLEM, policy=asked, pins=PINS, deadline_s=600)
    return direct(submitted, Generate(id="generate:0", first=0, n=n))


def command(n: int = 1) -> Generate:
    return Generate(id="generate:0", first=0, n=n)


# ---------------------------------------------------------------- policies


@pytest.mark.parametrize("tier", [0, 1024, 2048, 4096, 8192, 16384, 32768])
def test_the_seven_tiers(tier: int) -> None:
    assert policy(thinking_tokens=tier).thinking_tokens == tier
    assert (Part.BUDGET_FORCING in policy(thinking_tokens=tier).needs) == (tier > 0)


@pytest.mark.parametrize("values", [{"thinking_tokens": 512}, {"waits": 4}, {"thinking_tokens": -1}])
def test_other_tiers_and_more_waits_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        policy(**values)


def test_a_policy_says_where_it_runs_without() -> None:
    assert missing(policy()) == (Part.BUDGET_FORCING,)
    assert missing(policy(), thinks=True) == ()
    for thinks in (True, False):
        pins = PINS.model_copy(update={"thinks": thinks})
        submitted = TaskSubmitted(problem=PROBLEM, policy=policy(), pins=pins, deadline_s=1)
        assert submitted.missing == (() if thinks else (Part.BUDGET_FORCING,))


# ---------------------------------------------------------------- over HTTP


def thinker(first: int, after_wait: int = 20) -> Model:
    """Thinks so many words, and so many more at each Wait, then answers.

    The end of a thought is two tokens more: its newline, and the tag.
    """

    def write(prompt: str, seed: int) -> str:
        _, opened, inside = prompt.rpartition(f"{OPEN}\n")
        if not opened or CLOSE in inside:
            return ANSWER
        words = after_wait if inside.endswith(WAIT) else first
        return "".join(f" s{seed}w{i}" for i in range(words)) + f"\n{CLOSE}\n\n{ANSWER}"

    return write


@asynccontextmanager
async def client(llama: ThinkingLlama, tags: ThinkingTags = USUAL_TAGS) -> AsyncIterator[LlamaClient]:
    async with llama.serve() as url:
        client = LlamaClient(url, tags=tags)
        yield client
        await client.aclose()


async def candidates(
    llama: ThinkingLlama, asked: Policy, n: int = 1, tags: ThinkingTags = USUAL_TAGS
) -> list[Candidate]:
    async with client(llama, tags) as server:
        return [e.candidate for e in await generate(context(asked, n), server, command(n), 4)]


async def test_at_the_budget_the_block_is_closed_and_the_answer_continued_from_cache() -> None:
    llama = ThinkingLlama(thinker(3000))
    (candidate,) = await candidates(llama, policy())
    think, answer = llama.completions
    assert think["prompt"].endswith(f"assistant\n{OPEN}\n")
    assert (think["n_predict"], think["stop"], think["preserved_tokens"]) == (1024, [CLOSE], [CLOSE])
    thought = "".join(f" s7000w{i}" for i in range(1024))
    assert answer["prompt"] == f"{think['prompt']}{thought}{STUB}{CLOSE}\n\n"
    assert answer["n_predict"] == 1024
    assert "stop" not in answer
    assert candidate.code == PROGRAM
    assert candidate.thinking == Thinking(tokens=1024, cut=True)
    assert candidate.usage.tokens_out == 1024 + ANSWER_TOKENS
    before = len(f"{think['prompt']}{thought}".split())
    assert candidate.usage.tokens_cached == before, "all of the prompt but what was appended"


async def test_with_the_lens_the_span_asked_for_is_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    complete = LlamaClient.complete

    async def noted(self: LlamaClient, request: CompletionRequest, *more: Any) -> CompletionResult:
        asked.append(request.embedding)
        return await complete(self, request, *more)

    monkeypatch.setattr(LlamaClient, "complete", noted)
    await candidates(ThinkingLlama(thinker(300)), policy(extras=(Part.LENS,)))
    assert asked == [False, True]


async def test_thinking_that_ends_by_itself_is_left_as_it_is() -> None:
    llama = ThinkingLlama(thinker(300))
    (candidate,) = await candidates(llama, policy(waits=3))
    think, answer = llama.completions
    assert answer["prompt"].startswith(think["prompt"])
    assert answer["prompt"].endswith(f" s7000w299\n{CLOSE}\n\n")
    assert candidate.thinking == Thinking(tokens=302)
    assert candidate.code == PROGRAM


@pytest.mark.parametrize(
    ("waits", "after", "waited"), [(0, 20, 0), (1, 20, 1), (3, 20, 3), (3, 300, 1)], ids=str
)
async def test_thinking_that_ends_too_soon_is_made_to_wait(waits: int, after: int, waited: int) -> None:
    llama = ThinkingLlama(thinker(50, after))
    (candidate,) = await candidates(llama, policy(waits=waits))
    asked = llama.completions
    assert len(asked) == 2 + waited
    for i, (one, other) in enumerate(pairwise(asked), 1):
        assert other["prompt"].startswith(one["prompt"]), "each continues the one before"
        assert other["prompt"].endswith(WAIT if i <= waited else f"{CLOSE}\n\n")
        assert other["n_predict"] == 1024 - (52 + (after + 2) * (i - 1) if i <= waited else 0)
    assert [body["seed"] for body in asked] == [7000 + 100 * i for i in range(2 + waited)]
    assert candidate.thinking == Thinking(tokens=52 + (after + 2) * waited, waits=waited)
    assert candidate.usage.tokens_out == candidate.thinking.tokens + ANSWER_TOKENS


async def test_a_model_told_to_wait_is_cut_at_the_budget_all_the_same() -> None:
    llama = ThinkingLlama(thinker(50, 5000))
    (candidate,) = await candidates(llama, policy(waits=3))
    assert candidate.thinking == Thinking(tokens=1024, waits=1, cut=True)
    assert [body["n_predict"] for body in llama.completions] == [1024, 1024 - 52, 1024]


async def test_a_turn_that_ends_inside_the_thinking_is_answered_after_it() -> None:
    def silent(prompt: str, seed: int) -> str:
        return ANSWER if prompt.endswith(f"hmm\n{CLOSE}\n\n") else "hmm"

    (candidate,) = await candidates(ThinkingLlama(silent), policy())
    assert candidate.code == PROGRAM
    assert candidate.thinking == Thinking(tokens=1)


async def test_candidates_are_drawn_one_after_another_each_from_cache() -> None:
    llama = ThinkingLlama(thinker(2000))
    drawn = await candidates(llama, policy(), n=3)
    assert [candidate.id for candidate in drawn] == ["c0", "c1", "c2"]
    assert [body["n_cmpl"] for body in llama.completions] == [1] * 6
    assert [body["seed"] for body in llama.completions] == [7000, 7100, 7001, 7101, 7002, 7102]
    prompt = len(llama.completions[0]["prompt"].split())
    assert all(candidate.usage.tokens_cached >= prompt + prompt + 1024 for candidate in drawn[1:])


async def test_a_context_too_small_for_the_budget_cuts_sooner_and_leaves_room_to_answer() -> None:
    llama = ThinkingLlama(thinker(5000), context=1500)
    (candidate,) = await candidates(llama, policy(thinking_tokens=4096))
    think, answer = llama.completions
    prompt = len(think["prompt"].split()) + 1  # its last newline
    assert think["n_predict"] == 1500 - prompt - 1024 - APPENDED_TOKENS
    assert candidate.thinking == Thinking(tokens=think["n_predict"], cut=True)
    assert answer["n_predict"] == 1024
    assert candidate.code == PROGRAM


async def test_a_context_too_small_to_think_is_said_before_anything_is_drawn() -> None:
    llama = ThinkingLlama(thinker(5000), context=1000)
    with pytest.raises(ModelServerError, match="raise CONTEXT_TOKENS"):
        await candidates(llama, policy(thinking_tokens=4096))
    assert llama.completions == []


async def test_no_thinking_is_the_templates_own_mode() -> None:
    llama = ThinkingLlama(thinker(2000))
    (candidate,) = await candidates(llama, policy(thinking_tokens=0))
    (body,) = llama.completions
    assert body["prompt"].endswith(f"assistant\n{OPEN}\n\n{CLOSE}\n\n")
    assert candidate.thinking is None
    assert candidate.code == PROGRAM


async def test_a_model_that_does_not_think_is_asked_as_without_a_tier() -> None:
    plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    llama = ThinkingLlama(thinker(2000), plain)
    (thinking,) = await candidates(llama, policy(waits=3))
    (never,) = await candidates(llama, policy(thinking_tokens=0))
    assert thinking.thinking is never.thinking is None
    one, other = llama.completions
    assert one == other


async def test_what_the_task_pinned_of_the_model_is_not_asked_again() -> None:
    pins = PINS.model_copy(update={"thinks": False})
    submitted = TaskSubmitted(problem=PROBLEM, policy=policy(), pins=pins, deadline_s=600)
    llama = ThinkingLlama(thinker(300))
    async with client(llama, USUAL_TAGS) as server:
        server.thinking = None  # asking would fail
        (event,) = await generate(direct(submitted, command(1)), server, command(1), 4)
    assert event.candidate.thinking is None
    assert len(llama.completions) == 1


async def test_a_model_named_in_the_settings_thinks_in_its_own_tags() -> None:
    def other(prompt: str, seed: int) -> str:
        return ANSWER if "[/T]" in prompt else "hm " * 400 + "[/T]"

    plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    llama, tags = ThinkingLlama(other, plain), ThinkingTags.parse("[T] [/T]")
    (candidate,) = await candidates(llama, policy(), tags=tags)
    think, answer = llama.completions
    assert think["prompt"].endswith("<assistant>[T]\n")
    assert answer["prompt"].endswith("hm [/T]\n\n")
    assert candidate.thinking == Thinking(tokens=402)
    (candidate,) = await candidates(llama, policy(thinking_tokens=0), tags=tags)
    assert llama.completions[-1]["prompt"].endswith("<assistant>[T]\n\n[/T]\n\n")
    assert candidate.thinking is None


# ---------------------------------------------------------------- budgets, and being interrupted


def words(first: int, after_wait: int) -> Callable[[CompletionRequest], str]:
    write = thinker(first, after_wait)
    return lambda request: write(request.prompt, request.sampling.seed)


class Interrupted(FakeModelServer):
    """Goes away at one of its calls, once."""

    def __init__(self, script: Callable[[CompletionRequest], str], at: int) -> None:
        super().__init__(script, tags=USUAL_TAGS)
        self.at = at

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        if len(self.requests) == self.at:
            self.at = -1
            raise ModelServerError("gone")
        return await super().complete(request, on_tokens)


@given(
    budget=st.integers(0, 4000),
    first=st.integers(0, 1500),
    after_wait=st.integers(0, 300),
    waits=st.integers(0, 3),
    n=st.integers(1, 6),
    at=st.integers(0, 12),
)
async def test_the_token_budget_holds_and_an_interrupted_command_goes_on_the_same_way(
    budget: int, first: int, after_wait: int, waits: int, n: int, at: int
) -> None:
    asked = policy(token_budget=budget and budget + 63, waits=waits, k=n)
    whole, script = context(asked, n), words(first, after_wait)
    server = FakeModelServer(script, tags=USUAL_TAGS)
    events = await generate(whole, server, command(n), 3)
    spent = sum(event.candidate.usage.tokens_out for event in events)
    assert spent == whole.state.usage.tokens_out
    if asked.token_budget:
        assert spent <= asked.token_budget
        assert len(events) == n or asked.token_budget - spent < 2, "what is left cannot pay for two tokens"
    else:
        assert len(events) == n
    seeds = [r.sampling.seed + i for r in server.requests for i in range(r.n)]
    assert len(set(seeds)) == len(seeds)

    again, server = context(asked, n), Interrupted(script, at)
    try:
        await generate(again, server, command(n), 3)
    except ModelServerError:
        assert await generate(again, server, command(n), 3) == events
    assert again.state.calls == whole.state.calls, "each call once, and the same"


async def test_no_budget_for_thinking_is_no_candidate() -> None:
    spent = context(policy(token_budget=64))
    spent.state = spent.state.__class__(**{**vars(spent.state), "usage": Usage(tokens_out=63)})
    with pytest.raises(BudgetSpent):
        await generate(spent, FakeModelServer(str, tags=USUAL_TAGS), command(), 4)


# ---------------------------------------------------------------- tiers


async def drawn_at(tier: int, llama: ThinkingLlama) -> Candidate:
    asked = Generate.model_validate(
        {"id": "generate:0", "first": 0, "thinking_tokens": tier, "difficulty": 0.3}
    )
    async with client(llama) as server:
        return (await generate(context(policy()), server, asked, 4))[0].candidate


async def test_a_commands_tier_is_the_budget_and_the_candidate_says_so() -> None:
    llama = ThinkingLlama(thinker(3000))
    candidate = await drawn_at(2048, llama)
    assert candidate.thinking == Thinking(tokens=2048, cut=True, tier=2048, difficulty=0.3)
    assert [c["n_predict"] for c in llama.completions] == [2048, policy().max_tokens]


async def test_of_tier_0_it_answers_at_once() -> None:
    llama = ThinkingLlama(thinker(3000))
    candidate = await drawn_at(0, llama)
    assert candidate.thinking == Thinking(tokens=0, tier=0, difficulty=0.3)
    assert candidate.code == PROGRAM
    assert len(llama.completions) == 1
