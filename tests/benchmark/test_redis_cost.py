"""What tasks cost Redis: the arithmetic, the scripted model, and the whole measurement on a real stack."""

from __future__ import annotations

import json

import httpx
import pytest
from pydantic import BaseModel, Field

from atlas.contracts import SamplingParams
from atlas.llama import CompletionRequest, LlamaClient
from atlas.policy import POLICIES
from benchmark import redis_cost
from benchmark.recorded.serving import served
from benchmark.redis_cost import Reading, cost
from benchmark.scripted_model import filled, scripted


def reading(at: float, **values: float) -> Reading:
    zeros = dict.fromkeys(("cpu_s", "commands", "received", "sent", "memory", "file"), 0.0)
    return Reading(at=at, **{**zeros, **values})


def test_what_idle_workers_cost_is_taken_off_what_goes_with_seconds_and_not_off_what_is_kept() -> None:
    idle = reading(0), reading(10, commands=100, cpu_s=0.5, memory=5)
    busy = idle[1], reading(30, commands=700, cpu_s=2.5, memory=45, file=80, received=20, sent=40)
    found = cost(idle, busy, tasks=4, decided=3, policy="p")
    assert (found.idle_commands, found.idle_cpu_s) == (10, 0.05)
    assert found.commands == (600 - 20 * 10) / 4
    assert found.cpu_s == pytest.approx((2.0 - 20 * 0.05) / 4)
    assert found.tasks_per_core_second == pytest.approx(4)
    assert (found.memory, found.file, found.received, found.sent) == (10, 20, 5, 10)


def test_less_than_idle_is_nothing() -> None:
    idle = reading(0), reading(10, commands=100, cpu_s=1)
    found = cost(idle, (idle[1], reading(20, commands=150, cpu_s=1.5)), tasks=1, decided=1, policy="p")
    assert (found.commands, found.cpu_s, found.tasks_per_core_second) == (0, 0, None)


class Inner(BaseModel):
    words: list[str] = Field(min_length=2)
    maybe: int | None = None


class Outer(BaseModel):
    one: Inner
    flag: bool
    text: str = Field(max_length=5)


def test_what_is_filled_in_is_what_the_schema_allows() -> None:
    value = Outer.model_validate(filled(Outer.model_json_schema(), 50))
    assert [len(word) for word in value.one.words] == [50, 50]
    assert len(value.text) == 5


async def test_the_client_takes_a_scripted_server_for_a_real_one() -> None:
    async with served(scripted(tokens=50, slots=3)) as url:
        client = LlamaClient(url)
        try:
            assert (await client.facts()).slots == 3
            assert await client.chat_prompt([{"role": "user", "content": "x"}]) == "<user>x"
            sampling = SamplingParams(temperature=0, max_tokens=500, seed=7)
            answer = await client.complete(CompletionRequest(prompt="p", sampling=sampling, n=2))
        finally:
            await client.aclose()
    texts = [choice.text for choice in answer.choices]
    assert ["print(7)" in texts[0], "print(8)" in texts[1]] == [True, True]
    assert all(50 <= choice.usage.tokens_out < 70 for choice in answer.choices)
    assert httpx.URL(url).host == "127.0.0.1"


def test_a_policy_that_is_not_there_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert redis_cost.main(["--condition", "nix"]) == 1
    assert "nix" in capsys.readouterr().err


@pytest.mark.integration
def test_it_measures_a_stack(
    capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert redis_cost.main(["--tasks", "2", "--idle-seconds", "2", "--condition", "A", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tasks"], found["decided"], found["policy"]) == (2, 2, POLICIES["A"].name)
    assert found["commands"] > 20, "a submission, three commands, and what waits for the end"
    assert min(found["memory"], found["file"], found["received"], found["idle_commands"]) > 0
