"""LlamaClient against the real server: what the scripted one claims is so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from atlas.contracts import SamplingParams, Usage
from atlas.errors import ModelServerError
from atlas.llama import CompletionRequest, LlamaClient
from atlas.llama_stream import LOGPROB_FLOOR
from tests.support.slots import slots_become_busy


@pytest.fixture
async def real(llama_url: str) -> AsyncIterator[LlamaClient]:
    client = LlamaClient(llama_url)
    yield client
    await client.aclose()


async def asked(client: LlamaClient, text: str, **sampling: Any) -> CompletionRequest:
    prompt = await client.chat_prompt([{"role": "user", "content": text}])
    params = SamplingParams(**{"temperature": 0.8, "max_tokens": 16, "seed": 3, **sampling})
    return CompletionRequest(prompt=prompt, sampling=params)


@pytest.mark.integration
async def test_real_two_choices_differ_and_are_counted_each(real: LlamaClient) -> None:
    assert await real.ready() is None
    assert "smollm2" in (await real.model()).lower()
    heard: list[int] = []
    request = (await asked(real, "Tell me about cats.")).model_copy(update={"n": 2})
    result = await real.complete(request, heard.append)
    texts = [choice.text for choice in result.choices]
    assert all(texts)
    assert texts[0] != texts[1], "each choice has a seed of its own"
    assert sum(heard) == sum(choice.usage.tokens_out for choice in result.choices) > 2
    for choice in result.choices:
        assert 0 < choice.usage.tokens_out <= 16
        assert choice.usage.tokens_in > 10
        assert choice.logprob
        assert LOGPROB_FLOOR < choice.logprob.mean < 0
    assert result.server_s > 0
    again = await real.complete(request.model_copy(update={"n": 1}))
    assert again.choices[0].text == texts[0], "the first choice is what n=1 draws with the same seed"


@pytest.mark.integration
async def test_real_schema_is_kept(real: LlamaClient) -> None:
    item = {"type": "string", "minLength": 1, "maxLength": 12}
    schema = {"type": "object", "properties": {"name": item}, "required": ["name"]}
    schema["additionalProperties"] = False  # the server's grammar allows others otherwise
    request = (await asked(real, "Name a cat, as JSON.", max_tokens=64)).model_copy(
        update={"json_schema": schema}
    )
    (choice,) = (await real.complete(request)).choices
    assert choice.finish == "stop"
    assert list(json.loads(choice.text)) == ["name"]


@pytest.mark.integration
async def test_real_tasks_that_outnumber_the_slots_find_their_prefixes(real: LlamaClient) -> None:
    tasks = 2 * (await real.facts()).slots + 1
    sampling = SamplingParams(temperature=0, max_tokens=8, seed=3)

    async def task(number: int) -> list[Usage]:
        prompt, found = f"{number}: " + f"The tide of day {number} comes in and goes out. " * 12, []
        for _ in range(4):
            (choice,) = (await real.complete(CompletionRequest(prompt=prompt, sampling=sampling))).choices
            prompt += choice.text
            found.append(choice.usage)
        return found

    for _, *later in await asyncio.gather(*map(task, range(tasks))):
        assert all(usage.tokens_cached >= 0.9 * usage.tokens_in > 100 for usage in later)


@pytest.mark.integration
async def test_real_choices_of_one_call_share_its_prefill(real: LlamaClient, llama_url: str) -> None:
    async def evaluated() -> float:
        async with httpx.AsyncClient(base_url=llama_url) as http:
            found = re.search(
                r"^llamacpp:prompt_tokens_total (\S+)$", (await http.get("/metrics")).text, re.M
            )
        assert found
        return float(found[1])

    before = await evaluated()
    request = await asked(real, "Of the hills, and of the rivers. " * 30, max_tokens=2)
    choices = (await real.complete(request.model_copy(update={"n": 4}))).choices
    tokens = choices[0].usage.tokens_in
    assert tokens > 200
    spent = sum(choice.usage.tokens_in - choice.usage.tokens_cached for choice in choices)
    assert await evaluated() - before == spent <= tokens


@pytest.mark.integration
@pytest.mark.parametrize("n", [1, 3])
async def test_real_cancelling_frees_the_slots(real: LlamaClient, llama_url: str, n: int) -> None:
    streams = asyncio.Event()
    request = (await asked(real, "Count to ten thousand.", max_tokens=2000)).model_copy(update={"n": n})
    drawing = asyncio.create_task(real.complete(request, lambda _: streams.set()))
    await asyncio.wait_for(streams.wait(), 60)
    async with httpx.AsyncClient(base_url=llama_url, timeout=60) as http:
        assert await slots_become_busy(http, n, 60)
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
        decoded = [0]
        while busy := [slot for slot in (await http.get("/slots")).json() if slot["is_processing"]]:
            decoded += [token["n_decoded"] for slot in busy for token in slot["next_token"]]
            await asyncio.sleep(0.02)
    assert max(decoded) < 1000, "they were freed, and not done"


@pytest.mark.integration
async def test_real_a_call_at_its_timeout_frees_its_slot(real: LlamaClient, llama_url: str) -> None:
    heard: list[int] = []
    endless = CompletionRequest(
        prompt="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,",
        sampling=SamplingParams(temperature=0, max_tokens=7000, seed=1),
        timeout_s=1.5,
    )
    with pytest.raises(ModelServerError, match=r"1\.5 s timeout"):
        await real.complete(endless, heard.append)
    assert sum(heard) > 0
    async with httpx.AsyncClient(base_url=llama_url, timeout=60) as http:
        assert await slots_become_busy(http, 0, 60), "long before its 7000 tokens"


@pytest.mark.integration
async def test_real_a_prompt_too_long_is_found_before_it_is_sent(real: LlamaClient, llama_url: str) -> None:
    request = await asked(real, "And the wind. " * 3000)
    async with httpx.AsyncClient(base_url=llama_url, timeout=60) as http:
        refused = (await http.post("/completion", json={"prompt": request.prompt})).json()["error"]
    assert refused["type"] == "exceed_context_size_error"
    tokens = refused["n_prompt_tokens"]
    with pytest.raises(
        ModelServerError, match=f"the prompt has {tokens} tokens; .* of 8192: raise"
    ) as raised:
        await real.complete(request)
    assert not raised.value.retryable


@pytest.mark.integration
async def test_real_stop_string_ends_the_text_and_is_named(real: LlamaClient) -> None:
    request = CompletionRequest(
        prompt="1, 2, 3, 4, 5, 6,",
        sampling=SamplingParams(temperature=0, max_tokens=40, seed=1),
        stop=("9", "nine"),
    )
    (choice,) = (await real.complete(request)).choices
    assert (choice.finish, choice.stopped_by) == ("stop", "9")
    assert "8" in choice.text
    assert "9" not in choice.text
