"""A real model by way of the gateway, with the `openai` package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from atlas.config import Settings
from services.gateway.app import create
from tests.conftest import SMOL
from tests.support.gateway_bench import served

pytestmark = pytest.mark.integration

ASK: list[Any] = [{"role": "user", "content": "Name three colours."}]
DRAWN: dict[str, Any] = {"model": SMOL, "messages": ASK, "max_tokens": 16, "temperature": 0, "seed": 1}


@pytest.fixture
async def client(redis_url: str, llama_url: str) -> AsyncIterator[AsyncOpenAI]:
    app = create(Settings(redis_url=redis_url, llama_url=llama_url))
    async with served(app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=120) as client:
        yield client


async def test_the_model_answers_whole_and_streamed(client: AsyncOpenAI) -> None:
    assert SMOL in [model.id for model in (await client.models.list()).data]
    answer = await client.chat.completions.create(**DRAWN)
    text = answer.choices[0].message.content
    assert text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    stream = await client.chat.completions.create(
        **DRAWN, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert len([word for word in words if word]) > 3, "as it is made, not at once"
    assert "".join(words) == text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 16


async def test_what_the_model_server_refuses_is_shown(client: AsyncOpenAI) -> None:
    long: list[Any] = [{"role": "user", "content": "word " * 20_000}]
    with pytest.raises(openai.BadRequestError, match="context"):
        await client.chat.completions.create(model=SMOL, messages=long, max_tokens=1)
