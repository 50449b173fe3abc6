"""Shared by the peers' tests: a llama-server whose model is a script, and an optillm that is one too."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from benchmark.datasets import load
from benchmark.peers.optillm import Question, Reply
from benchmark.peers.store import Comparison
from benchmark.run_store import content_sha256
from benchmark.tasks import Task
from tests.benchmark.runner_bench import four_problems


class ScriptedLlama:
    """`says` are the texts it answers, one for each choice, then over again; a word is a token.

    A text of more words than `max_tokens` is cut there. `fails` answers with a status instead, from the call
    of that number on.
    """

    def __init__(self, says: list[str], fails: tuple[int, int] | None = None) -> None:
        self.says, self.fails, self.said = says, fails, 0
        self.chats: list[dict[str, object]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/tokenize":
            return httpx.Response(200, json={"tokens": body["content"].split()})
        assert request.url.path == "/v1/chat/completions"
        if self.fails and len(self.chats) >= self.fails[0]:
            return httpx.Response(self.fails[1], text="no")
        self.chats.append(body)
        choices = []
        for index in range(body["n"]):
            words = self.says[self.said % len(self.says)].split(" ")
            self.said += 1
            cut = len(words) >= body["max_tokens"]
            text = " ".join(words[: body["max_tokens"]])
            message = {"role": "assistant", "content": text}
            choices.append({"index": index, "message": message, "finish_reason": "length" if cut else "stop"})
        one = len(choices[0]["message"]["content"].split()) + 1
        usage = {"prompt_tokens": 7, "completion_tokens": one, "total_tokens": 7 + one}
        return httpx.Response(200, json={"choices": choices, "usage": usage, "model": "scripted"})

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


class ScriptedOptillm:
    """Runs a function of the question and of a way to POST a chat to where the question says."""

    def __init__(
        self, approach: Callable[[Question, Callable[..., Awaitable[dict]]], Awaitable[str]]
    ) -> None:
        self.approach = approach
        self.questions: list[Question] = []

    async def ask(self, question: Question, timeout_s: float) -> Reply:
        self.questions.append(question)
        async with httpx.AsyncClient(base_url=question.base_url, verify=False) as client:

            async def chat(**body: object) -> dict:
                answer = await client.post("/chat/completions", json={"messages": [], "model": "m", **body})
                answer.raise_for_status()
                return answer.json()

            try:
                said = await self.approach(question, chat)
            except httpx.HTTPStatusError as error:
                return Reply(answer=None, error=error.response.json()["error"]["code"], seconds=1.0)
        return Reply(answer=said, error=None, seconds=1.0)


def four(tmp_path: Path) -> list[Task]:
    return load(four_problems(tmp_path))


def comparison(tasks: list[Task], **more: object) -> Comparison:
    usual = {
        "dataset": "four.jsonl",
        "dataset_sha256": content_sha256(tasks),
        "tasks": tuple(task.id for task in tasks),
        "token_budget": 20,
        "seed": 0,
        "grader": "official",
    }
    return Comparison.model_validate(usual | more)
