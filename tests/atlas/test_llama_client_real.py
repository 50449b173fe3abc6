"""LlamaClient against the real server: what the scripted one claims is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from atlas.contracts import SamplingParams
from atlas.llama import CompletionRequest, LlamaClient
from atlas.llama_stream import LOGPROB_FLOOR


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
async def test_real_second_call_finds_its_prefix_in_its_slot(real: LlamaClient) -> None:
    request = await asked(real, "Write about the sea. " + "And the wind. " * 40, max_tokens=4)
    first = await real.complete(request)
    second = await real.complete(request.model_copy(update={"slot": first.slot}))
    usage = second.choices[0].usage
    assert second.slot == first.slot
    assert usage.tokens_cached >= 0.9 * usage.tokens_in > 100


@pytest.mark.integration
async def test_real_cancelling_frees_the_slot_within_a_second(real: LlamaClient, llama_url: str) -> None:
    async def busy(http: httpx.AsyncClient) -> int:
        return sum(slot["is_processing"] for slot in (await http.get("/slots")).json())

    streams = asyncio.Event()
    request = await asked(real, "Count to ten thousand.", max_tokens=4000)
    drawing = asyncio.create_task(real.complete(request, lambda _: streams.set()))
    await asyncio.wait_for(streams.wait(), 20)
    async with httpx.AsyncClient(base_url=llama_url) as http:
        assert await busy(http) == 1
        drawing.cancel()
        for _ in range(20):
            if await busy(http) == 0:
                break
            await asyncio.sleep(0.05)
        assert await busy(http) == 0
    with pytest.raises(asyncio.CancelledError):
        await drawing


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
