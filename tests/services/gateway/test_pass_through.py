"""The served model itself by way of the gateway, asked with the `openai` package; models and keys too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from starlette.requests import ClientDisconnect

from atlas.api_keys import ApiKeys
from atlas.config import Settings
from atlas.policy import POLICIES
from atlas.redis_client import connect
from services.gateway.app import create
from tests.atlas.scripted_llama import Connection, Scripted
from tests.support.chat_llama import WORDS, ChatLlama
from tests.support.gateway_bench import served

ASK: list[Any] = [{"role": "user", "content": "Count."}]


@pytest.fixture
def llama() -> ChatLlama:
    return ChatLlama()


@pytest.fixture
async def llama_address(llama: ChatLlama) -> AsyncIterator[str]:
    async with served(llama.app()) as url:
        yield url
        llama.go.set()  # so that what still waits ends


@pytest.fixture
async def url(redis_url: str, llama_address: str) -> AsyncIterator[str]:
    async with served(create(Settings(redis_url=redis_url, llama_url=llama_address))) as url:
        yield url


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=20) as client:
        yield client


# ---------------------------------------------------------------- models


async def test_models_are_the_pipeline_its_policies_and_the_model_itself(client: AsyncOpenAI) -> None:
    models = (await client.models.list()).data
    assert [model.id for model in models] == ["atlas", *(f"atlas:{name}" for name in POLICIES), "smol"]
    assert {model.object for model in models} == {"model"}
    assert {model.id for model in models if model.owned_by != "atlas"} == {"smol"}
    for name in ("atlas", "atlas:A", "smol"):
        assert (await client.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError, match="there are: atlas, atlas:A"):
        await client.models.retrieve("gpt")


async def test_models_are_listed_while_the_model_server_is_away(redis_url: str, unused_tcp_port: int) -> None:
    app = create(Settings(redis_url=redis_url, llama_url=f"http://127.0.0.1:{unused_tcp_port}"))
    async with (
        served(app) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert "atlas" in [model.id for model in (await client.models.list()).data]
        for name in ("smol", "atlas"):
            with pytest.raises(openai.InternalServerError, match="llama-server") as caught:
                await client.chat.completions.create(model=name, messages=ASK)
            assert (caught.value.status_code, caught.value.type) == (503, "server_error")


# ---------------------------------------------------------------- passed through


async def test_a_conversation_stays_with_one_of_several_servers(redis_url: str, unused_tcp_port: int) -> None:
    llamas = [ChatLlama(), ChatLlama()]
    for llama in llamas:
        llama.go.set()
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(served(llama.app())) for llama in llamas]
        urls.append(f"http://127.0.0.1:{unused_tcp_port}")  # where there is none
        app = create(Settings(redis_url=redis_url, llama_url=",".join(urls)))
        url = await stack.enter_async_context(served(app))
        client = await stack.enter_async_context(AsyncOpenAI(base_url=f"{url}/v1", api_key="none"))
        counts = []
        for number in range(8):
            turns: list[Any] = [{"role": "user", "content": f"Count {number}."}]
            for _ in range(3):
                await client.chat.completions.create(model="smol", messages=turns)
                turns += [{"role": "assistant", "content": "1"}, {"role": "user", "content": "On."}]
            counts.append([len(llama.bodies) for llama in llamas])
        assert all(count % 3 == 0 for each in counts for count in each), "no conversation is torn apart"
        assert all(counts[-1]), "they spread"


async def test_a_request_and_its_answer_pass_unchanged(url: str, llama: ChatLlama) -> None:
    llama.go.set()
    body = b'{"messages":[{"role":"user","content":"\\u00e9"}],  "model":"smol","n":2,"top_k":7,"tools":[]}'
    headers = {"content-type": "application/json", "authorization": "Bearer secret"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/chat/completions", content=body, headers=headers)
    assert llama.bodies == [body]
    assert "authorization" not in llama.headers[0], "our keys are ours"
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "".join(WORDS)
    assert answer.json()["timings"] == {"predicted_ms": 1.5}
    assert "atlas" not in answer.json()


async def test_a_slot_cannot_be_asked_for(client: AsyncOpenAI, llama: ChatLlama) -> None:
    """It may be a task's, whose answer would be overwritten, or told."""
    with pytest.raises(openai.BadRequestError, match="'id_slot' is not taken: leave it out"):
        await client.chat.completions.create(model="smol", messages=ASK, extra_body={"id_slot": 0})
    assert not llama.bodies


async def test_its_errors_pass_too(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="smol", messages=ASK, temperature=9)
    assert caught.value.body == {
        "code": 400,
        "message": "temperature is too hot",
        "type": "invalid_request_error",
    }


async def test_a_stream_comes_as_it_is_made(client: AsyncOpenAI, llama: ChatLlama) -> None:
    words: list[str | None] = []
    stream = await client.chat.completions.create(model="smol", messages=ASK, stream=True)
    async for chunk in stream:
        words.append(chunk.choices[0].delta.content)
        if len(words) == 1:  # the rest is not made before this has arrived
            assert not llama.go.is_set()
            llama.go.set()
    assert tuple(words) == WORDS
    assert not llama.left.is_set()
    assert json.loads(llama.bodies[0])["stream"] is True


async def test_when_the_client_of_a_stream_goes_the_call_is_closed(
    client: AsyncOpenAI, llama: ChatLlama
) -> None:
    stream = await client.chat.completions.create(model="smol", messages=ASK, stream=True)
    await anext(aiter(stream))
    assert not llama.left.is_set()
    await stream.close()
    await asyncio.wait_for(llama.left.wait(), 10)


async def test_the_call_is_closed_under_servers_that_tell_it_by_an_error(
    redis_url: str, llama_address: str, llama: ChatLlama
) -> None:
    """ASGI 2.4: `send` raises OSError when the client is gone (uvicorn is of 2.3)."""
    app = create(Settings(redis_url=redis_url, llama_url=llama_address))
    body = json.dumps({"model": "smol", "messages": ASK, "stream": True}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("gateway.sock", None),
    }
    incoming = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        return next(incoming, None) or await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client has gone")

    async with app.router.lifespan_context(app):
        with pytest.raises(ClientDisconnect) as caught:
            await app(scope, receive, send)
        await asyncio.wait_for(llama.left.wait(), 10)
        assert caught.tb, "closed while the error still holds the answer, not when it is collected"


async def test_when_a_client_that_waits_goes_the_call_is_closed(
    client: AsyncOpenAI, llama: ChatLlama
) -> None:
    asking = asyncio.create_task(client.chat.completions.create(model="smol", messages=ASK))
    while not llama.bodies:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not llama.left.is_set()
    asking.cancel()
    await asyncio.wait_for(llama.left.wait(), 10)


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks_off(connection: Connection) -> None:
        if connection.path == "/props":
            await connection.answer(200, {"model_alias": "smol"})
            return
        await connection.begin()
        await connection.send({"choices": []})

    server = Scripted()
    server.script = breaks_off
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    llama_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    body = {"model": "smol", "messages": ASK, "stream": True}
    async with (
        served(create(Settings(redis_url=redis_url, llama_url=llama_url))) as url,
        httpx.AsyncClient() as c,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await c.post(f"{url}/v1/chat/completions", json=body)
    listening.close()
    assert "llama-server broke off an answer" in caplog.text
    assert "Traceback" not in caplog.text


# ---------------------------------------------------------------- keys


async def test_a_gateway_open_to_others_wants_a_key_of_its_own(
    redis_url: str, llama_address: str, llama: ChatLlama
) -> None:
    llama.go.set()
    app = create(Settings(redis_url=redis_url, llama_url=llama_address, host="0.0.0.0"))
    async with served(app) as url, connect(redis_url) as redis:
        keys = ApiKeys(redis)
        key, _ = await keys.create("laptop")
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-wrong") as stranger:
            for call in (
                stranger.models.list(),
                stranger.chat.completions.create(model="atlas", messages=ASK),
                stranger.chat.completions.create(model="smol", messages=ASK),
            ):
                with pytest.raises(openai.AuthenticationError, match="atlas keys create") as caught:
                    await call
                assert caught.value.code == "invalid_api_key"
        assert not llama.bodies
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as known:
            assert (await known.models.list()).data
            answer = await known.chat.completions.create(model="smol", messages=ASK)
            assert answer.choices[0].message.content == "".join(WORDS)
            await keys.revoke("laptop")
            with pytest.raises(openai.AuthenticationError, match="revoked"):
                await known.models.list()
