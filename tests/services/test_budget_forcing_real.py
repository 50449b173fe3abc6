"""Budget forcing on real servers: a template's two modes, and answers continued from each slot's cache."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from atlas.commands import Generate
from atlas.contracts import Candidate, Problem
from atlas.events import ModelCallFinished, TaskSubmitted
from atlas.llama import LlamaClient
from atlas.models import ModelFile
from atlas.pins import current_pins
from atlas.policy import Policy
from atlas.thinking import USUAL_TAGS, ThinkingTags
from atlas.worker import direct
from benchmark.native_llama import serve
from services.planner.budget_forcing import STUB, WAIT
from services.planner.sampling import generate
from tests.support.thinking_llama import TEMPLATE

pytestmark = pytest.mark.integration

MESSAGES = [{"role": "user", "content": "What is 2 + 2?"}]
STATEMENT = "Read a number and print its double. " * 4
APPENDED = 40  # tokens, at most, of a stub and a tag, and of what was drawn but not yet evaluated


async def drawn(
    client: LlamaClient, n: int, **values: object
) -> tuple[list[Candidate], list[ModelCallFinished]]:
    asked = Policy(name="p", thinking_tokens=1024, max_tokens=24, k=n)
    submitted = TaskSubmitted(
        problem=Problem(statement=STATEMENT),
        policy=asked.model_copy(update=values),  # not validated: a tier may be shorter than there are
        pins=await current_pins(client),
        deadline_s=600,
    )
    command = Generate(id="generate:0", first=0, n=n)
    context = direct(submitted, command)
    events = await generate(context, client, command, 4)
    return [event.candidate for event in events], list(context.state.calls.values())


@pytest.fixture(scope="module")
def thinking_url(
    stock_llama: Path, smol_model: ModelFile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A native server that renders the thinking template for a model that knows nothing of it."""
    log = tmp_path_factory.mktemp("thinking") / "log"
    with serve(stock_llama, smol_model.path, log, "--jinja", "--chat-template-file", str(TEMPLATE)) as server:
        yield server.url


async def test_a_real_server_renders_both_modes_of_a_template(thinking_url: str) -> None:
    client = LlamaClient(thinking_url)
    assert await client.thinking() == USUAL_TAGS
    head = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    assert await client.chat_prompt(MESSAGES) == f"{head}<think>\n\n</think>\n\n"
    assert await client.chat_prompt(MESSAGES, thinking=True) == f"{head}<think>\n"
    (plain,), calls = await drawn(client, 1, thinking_tokens=0)
    assert plain.thinking is None
    assert [call.call for call in calls] == ["generate:0/code:0"]
    assert calls[0].prompt.endswith("<think>\n\n</think>\n\n")
    await client.aclose()


@pytest.fixture(params=["template", "settings"])
async def thinking_client(request: pytest.FixtureRequest) -> LlamaClient:
    """The native server with that template; the embedded one, whose model is named as one that thinks."""
    if request.param == "template":
        return LlamaClient(request.getfixturevalue("thinking_url"))
    return LlamaClient(request.getfixturevalue("llama_url"), tags=ThinkingTags.parse("<think> </think>"))


async def test_real_thinking_is_cut_and_the_answer_continued_from_cache(
    thinking_client: LlamaClient,
) -> None:
    candidates, calls = await drawn(thinking_client, 2, thinking_tokens=60)
    names = [call.call.removeprefix("generate:0/code:") for call in calls]
    assert names == ["0/think", "0/answer", "1/think", "1/answer"]
    for candidate, think, answer in zip(candidates, calls[::2], calls[1::2], strict=True):
        (thought,), (said,) = think.choices, answer.choices
        assert candidate.thinking is not None
        assert candidate.thinking.tokens == thought.usage.tokens_out <= think.sampling.max_tokens
        assert candidate.thinking.cut == (thought.finish == "length")
        assert answer.prompt.startswith(think.prompt + thought.text)
        assert answer.prompt.endswith(f"{STUB}</think>\n\n") == candidate.thinking.cut
        assert said.usage.tokens_in - said.usage.tokens_cached <= APPENDED
        assert candidate.usage == thought.usage + said.usage
    again = calls[2].choices[0].usage
    assert again.tokens_cached >= again.tokens_in - 1, "the prompt of the second is the first's"
    assert any(candidate.thinking and candidate.thinking.cut for candidate in candidates)
    await thinking_client.aclose()


async def test_a_real_turn_that_ends_too_soon_is_made_to_wait(llama_url: str) -> None:
    """With a tag that any model writes soon."""
    client = LlamaClient(llama_url, tags=ThinkingTags("<think>", "e", always=True))
    (candidate,), calls = await drawn(client, 1, waits=3, seed=1)
    assert candidate.thinking is not None
    assert candidate.thinking.waits == 3
    assert [call.call.rpartition("/")[2] for call in calls] == [
        "think",
        "wait:1",
        "wait:2",
        "wait:3",
        "answer",
    ]
    for before, after in pairwise(calls):
        assert after.prompt.startswith(before.prompt)
        assert after.choices[0].usage.tokens_cached >= before.choices[0].usage.tokens_in
    assert [call.prompt.endswith(WAIT) for call in calls] == [False, True, True, True, False]
    await client.aclose()


async def test_a_real_model_that_does_not_think_is_asked_as_ever(llama_url: str) -> None:
    client = LlamaClient(llama_url)
    assert await client.thinking() is None
    (asked,), (call,) = await drawn(client, 1)
    (never,), (other,) = await drawn(client, 1, thinking_tokens=0)
    assert (call.prompt, call.sampling) == (other.prompt, other.sampling)
    assert "<think>" not in call.prompt
    assert asked.thinking is never.thinking is None
    await client.aclose()
