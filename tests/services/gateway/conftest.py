"""Fixtures of the gateway's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from atlas.config import Settings
from atlas.journal import Journal
from atlas.redis_client import connect
from services.gateway.app import create
from tests.support.gateway_bench import client_of, llama


@pytest.fixture
async def llama_address() -> AsyncIterator[str]:
    listening = await asyncio.start_server(llama, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()


@pytest.fixture
async def gateway(redis_url: str, llama_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create(Settings(redis_url=redis_url, llama_url=llama_address))) as client:
        yield client


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = Journal(connect(redis_url))
    yield journal
    await journal.redis.aclose()
