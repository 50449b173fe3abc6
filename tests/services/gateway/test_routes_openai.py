"""The pipeline as a model, asked with the `openai` package: the real gateway, workers and Redis."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from redis.exceptions import ConnectionError as RedisDown

from services.gateway import chat_stream
from tests.support.small_stack import SmallStack, small_stack

ASK: list[Any] = [{"role": "user", "content": "Read a number and print its double."}]
EXAMPLES = [{"input": "2", "output": "4"}, {"input": "5", "output": "10"}]
ADDED: dict[str, Any] = {"atlas": {"examples": EXAMPLES}}
ANSWER = "```python\nprint(int(input()) * 2)\n```"


@pytest.fixture
def stack(redis_url: str) -> Iterator[SmallStack]:
    with small_stack(redis_url) as running:
        yield running


@pytest.fixture
def client(stack: SmallStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key="none", timeout=30) as client:
        yield client


@pytest.fixture
async def waiting(stack: SmallStack) -> AsyncIterator[AsyncOpenAI]:
    """The asynchronous client."""
    async with AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="none", timeout=30) as client:
        yield client


def tasks(stack: SmallStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{stack.url}/v1/tasks").json()["tasks"]
    return found


def journal(stack: SmallStack, task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in httpx.get(f"{stack.url}/v1/tasks/{task}/journal").text.splitlines()]


def added(answer: Any) -> dict[str, Any]:
    """What the gateway adds to a completion or a chunk."""
    found: dict[str, Any] = answer.model_extra["atlas"]
    return found


async def cancelled(stack: SmallStack) -> bool:
    """Whether the one task there is is cancelled within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        [task] = await asyncio.to_thread(tasks, stack)
        if task["status"] == "cancelled":
            return True
        await asyncio.sleep(0.05)
    return False


async def until_it_asks_the_model(stack: SmallStack) -> None:
    while not stack.model.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------- answers


def test_a_chat_is_answered_with_the_program_and_its_evidence(stack: SmallStack, client: OpenAI) -> None:
    answer = client.chat.completions.create(model="atlas", messages=ASK, extra_body=ADDED)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        ANSWER,
        "stop",
    )
    [task] = tasks(stack)
    assert (answer.id, answer.model) == (f"chatcmpl-{task['id']}", "atlas")
    assert added(answer)["task"] == task["id"]
    assert added(answer)["evidence"] == task["evidence"]
    assert task["evidence"]["basis"] == "passed_public_examples"
    assert task["policy"] == "full"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == task["usage"]["tokens_out"] > 0
    assert answer.usage.prompt_tokens == task["usage"]["tokens_in"]
    assert ASK[0]["content"] in stack.model.requests[0].prompt


def test_a_policy_and_a_seed_are_asked_for(stack: SmallStack, client: OpenAI) -> None:
    client.chat.completions.create(model="atlas:A", messages=ASK, seed=11)
    client.chat.completions.create(model="atlas", messages=ASK, extra_body={"atlas": {"policy": "A"}})
    second, first = tasks(stack)
    assert first["policy"] == second["policy"] == "A"
    assert journal(stack, first["id"])[0]["event"]["policy"]["seed"] == 11
    assert journal(stack, second["id"])[0]["event"]["policy"]["seed"] != 11


async def test_the_asynchronous_client_gets_the_same(stack: SmallStack, waiting: AsyncOpenAI) -> None:
    asking = [
        waiting.chat.completions.create(model="atlas", messages=ASK, extra_body=ADDED) for _ in range(3)
    ]
    answers = await asyncio.gather(*asking)
    assert [answer.choices[0].message.content for answer in answers] == [ANSWER] * 3
    assert len({answer.id for answer in answers}) == 3
    stream = await waiting.chat.completions.create(model="atlas", messages=ASK, extra_body=ADDED, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


def test_a_key_makes_asking_twice_one_task(stack: SmallStack, client: OpenAI) -> None:
    headers = {"Idempotency-Key": "q7"}
    ids = {
        client.chat.completions.create(model="atlas", messages=ASK, extra_headers=headers).id
        for _ in range(2)
    }
    assert len(ids) == len(tasks(stack)) == 1
    chunks = list(
        client.chat.completions.create(model="atlas", messages=ASK, extra_headers=headers, stream=True)
    )
    assert {chunk.id for chunk in chunks} == ids
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    with pytest.raises(openai.ConflictError, match="use a new key"):
        client.chat.completions.create(model="atlas:A", messages=ASK, extra_headers=headers)
    assert len(tasks(stack)) == 1


# ---------------------------------------------------------------- streams


def test_a_stream_tells_the_stages_then_the_program(stack: SmallStack, client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="atlas",
            messages=ASK,
            extra_body=ADDED,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    first, *stages, program, last, usage = chunks
    [task] = tasks(stack)
    entries = journal(stack, task["id"])
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{task['id']}"}
    told = [added(chunk)["stage"] for chunk in stages]
    assert [(stage["seq"], stage["event"]) for stage in told] == [
        (entry["seq"], entry["event"]["type"]) for entry in entries
    ]
    assert all(chunk.choices[0].delta.content is None for chunk in stages)
    [run] = [stage for stage in told if stage["event"] == "ExecutionFinished"]
    assert run["verdicts"] == {"accepted": 2}
    assert (run["candidate"], told[-1]["candidate"]) == (task["candidate"],) * 2
    assert "print" not in json.dumps(told), "of programs and problems the stages say nothing"
    assert program.choices[0].delta.content == ANSWER
    assert last.choices[0].finish_reason == "stop"
    assert added(last)["evidence"] == task["evidence"]
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == task["usage"]["tokens_out"]


def test_stages_come_while_the_pipeline_works(stack: SmallStack, client: OpenAI) -> None:
    stack.model.hold = hold = asyncio.Event()
    seen: list[str] = []
    for chunk in client.chat.completions.create(model="atlas:A", messages=ASK, stream=True):
        stage = added(chunk)["stage"] if chunk.model_extra and "atlas" in chunk.model_extra else None
        seen.append(stage["event"] if stage else "")
        if seen[-1] == "CommandsIssued" and not hold.is_set():
            assert seen == ["", "TaskSubmitted", "CommandsIssued"]
            stack.call(hold.set)  # only now does the model answer
    assert "TaskDecided" in seen


def test_a_stream_is_server_sent_events_to_the_letter(stack: SmallStack) -> None:
    body = {"model": "atlas:A", "messages": ASK, "stream": True}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    for chunk in chunks:
        data = json.loads(chunk.removeprefix("data: "))
        assert data["object"] == "chat.completion.chunk"
        assert "usage" not in data, "nobody asked for it"


# ---------------------------------------------------------------- tasks without a program


def test_a_task_without_a_program_is_an_error_and_not_asked_again(stack: SmallStack, client: OpenAI) -> None:
    stack.model.script = lambda request: "I do not know."
    with pytest.raises(openai.InternalServerError, match="no program was generated") as caught:
        client.chat.completions.create(model="atlas:A", messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (502, "no_program")
    assert len(tasks(stack)) == 1
    stream = client.chat.completions.create(model="atlas:A", messages=ASK, stream=True)
    with pytest.raises(openai.APIError, match="no program was generated") as broken:
        list(stream)
    assert (broken.value.code, broken.value.type) == ("no_program", "server_error")


def test_a_deadline_is_kept(stack: SmallStack, client: OpenAI) -> None:
    stack.model.hold = asyncio.Event()
    with pytest.raises(openai.InternalServerError, match="deadline") as caught:
        client.chat.completions.create(model="atlas", messages=ASK, extra_body={"atlas": {"deadline_s": 1}})
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_reached")
    assert [task["status"] for task in tasks(stack)] == ["failed"]


def test_a_task_that_someone_cancels_is_not_asked_again(stack: SmallStack, client: OpenAI) -> None:
    stack.model.hold = asyncio.Event()

    def cancel() -> None:
        while not stack.model.requests:
            time.sleep(0.01)
        httpx.post(f"{stack.url}/v1/tasks/{tasks(stack)[0]['id']}/cancel")

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    with pytest.raises(openai.ConflictError, match="was cancelled"):
        client.chat.completions.create(model="atlas", messages=ASK)
    cancelling.join()
    assert len(tasks(stack)) == 1


def test_a_stream_whose_journal_goes_away_says_so(
    stack: SmallStack, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> AsyncIterator[None]:
        raise RedisDown("gone")
        yield

    monkeypatch.setattr(chat_stream, "follow", away)
    stream = client.chat.completions.create(model="atlas:A", messages=ASK, stream=True)
    with pytest.raises(openai.APIError, match="journal cannot be reached"):
        list(stream)


# ---------------------------------------------------------------- requests that are refused


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content",
        ),
        ({"extra_body": {"atlas": {"hidden_tests": []}}}, "atlas.hidden_tests"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_name(
    stack: SmallStack, client: OpenAI, more: dict[str, Any], param: str
) -> None:
    request: dict[str, Any] = {"model": "atlas", "messages": ASK, **more}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**request, stream=stream)
        assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
        assert param in str(caught.value)
    assert tasks(stack) == []


def test_an_unknown_model_is_answered_with_those_there_are(client: OpenAI) -> None:
    for name in ("gpt", "atlas:Z", "atlas:"):
        with pytest.raises(openai.NotFoundError, match=r"there are: atlas, atlas:A, .*fake") as caught:
            client.chat.completions.create(model=name, messages=ASK)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


# ---------------------------------------------------------------- clients that go


async def test_a_client_that_stops_waiting_ends_its_task(stack: SmallStack, waiting: AsyncOpenAI) -> None:
    stack.model.hold = asyncio.Event()
    asking = asyncio.create_task(waiting.chat.completions.create(model="atlas", messages=ASK))
    await until_it_asks_the_model(stack)
    asking.cancel()
    assert await cancelled(stack)


async def test_a_client_that_leaves_its_stream_ends_its_task(stack: SmallStack, waiting: AsyncOpenAI) -> None:
    stack.model.hold = asyncio.Event()
    stream = await waiting.chat.completions.create(model="atlas", messages=ASK, stream=True)
    await anext(aiter(stream))
    await until_it_asks_the_model(stack)
    await stream.close()
    assert await cancelled(stack)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_with_a_key_may_come_back(
    stack: SmallStack, waiting: AsyncOpenAI, stream: bool
) -> None:
    stack.model.hold = hold = asyncio.Event()
    request: dict[str, Any] = {
        "model": "atlas",
        "messages": ASK,
        "extra_headers": {"Idempotency-Key": "k"},
    }
    asking = asyncio.create_task(waiting.chat.completions.create(**request, stream=stream))
    await until_it_asks_the_model(stack)
    if stream:
        await (await asking).close()
    asking.cancel()
    await asyncio.sleep(0.5)  # in which a task without a key would have been cancelled
    assert [task["status"] for task in tasks(stack)] == ["running"]
    stack.call(hold.set)
    answer = await waiting.chat.completions.create(**request)
    assert answer.choices[0].message.content == ANSWER
    assert len(tasks(stack)) == 1
