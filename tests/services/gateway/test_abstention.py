"""A task that abstains, as clients of the gateway see it: silence with the evidence, never an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.support.small_stack import SmallStack, small_stack

ASK: list[Any] = [{"role": "user", "content": "Read a number and print its double."}]
EXAMPLES = [{"input": "2", "output": "4"}, {"input": "5", "output": "10"}]
SILENT: dict[str, Any] = {"atlas": {"examples": EXAMPLES, "abstain_below": 1.0}}
PROBLEM = {"statement": "Read a number and print its double.", "examples": EXAMPLES}


@pytest.fixture
def stack(redis_url: str) -> Iterator[SmallStack]:
    with small_stack(redis_url) as running:
        yield running


@pytest.fixture
def client(stack: SmallStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key="none", timeout=30) as client:
        yield client


def test_a_chat_is_refused_with_the_reason_and_the_evidence(stack: SmallStack, client: OpenAI) -> None:
    made = client.chat.completions.create(model="atlas", messages=ASK, extra_body=SILENT)
    [choice] = made.choices
    assert choice.message.content is None
    assert choice.message.refusal is not None
    assert choice.message.refusal.startswith("abstained: confidence 0.")
    assert choice.finish_reason == "stop"
    added = made.model_extra["atlas"] if made.model_extra else {}
    assert added["status"] == "abstained"
    assert 0 < added["evidence"]["confidence"] < 1
    seen = httpx.get(f"{stack.url}/v1/tasks/{added['task']}").json()
    assert (seen["status"], seen["program"], seen["candidate"]) == ("abstained", None, None)
    assert seen["error"] == choice.message.refusal
    listed = httpx.get(f"{stack.url}/v1/tasks").json()["tasks"]
    assert [each["status"] for each in listed] == ["abstained"]
    stream = httpx.get(f"{stack.url}/v1/tasks/{added['task']}/events").text
    assert "event: TaskAbstained" in stream


def test_a_stream_ends_in_a_refusal(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="atlas", messages=ASK, extra_body=SILENT, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == ""
    assert "".join(delta.refusal or "" for delta in deltas).startswith("abstained: confidence 0.")
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_submission_overrides_its_policy_and_is_one_task_by_key(stack: SmallStack) -> None:
    def submit(**more: object) -> httpx.Response:
        body = {"problem": PROBLEM, "abstain_below": 0.0, **more}
        return httpx.post(f"{stack.url}/v1/tasks", json=body, headers={"Idempotency-Key": "once"})

    first = submit()
    assert first.status_code == 202
    assert submit().json()["id"] == first.json()["id"]
    other = submit(abstain_below=0.5)
    assert other.status_code == 409
    assert "another policy" in other.json()["detail"]
    assert submit(abstain_below=1.5).status_code == 422
