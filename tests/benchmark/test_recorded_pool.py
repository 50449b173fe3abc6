"""A sample pool before a scripted model server: what is drawn, and what is answered from the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atlas.contracts import SamplingParams
from atlas.errors import Conflict, ModelServerError
from atlas.llama import CompletionRequest, CompletionResult, LlamaClient
from benchmark.recorded.model_file import MODEL, read_model_facts
from benchmark.recorded.pool import SamplePool
from benchmark.recorded.serving import served
from tests.support.scripted_model import ScriptedModel


def words(prompt: str, seed: int, schema: Any) -> str:
    return f"{prompt} drawn with seed {seed} in {5 + seed % 3} words or so"


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    scripted = ScriptedModel(words)
    scripted.go.set()
    return scripted


def request(seed: int = 7, n: int = 1, max_tokens: int = 50, **more: Any) -> CompletionRequest:
    sampling = SamplingParams(
        temperature=more.pop("temperature", 0.7), max_tokens=max_tokens, seed=seed, **more.pop("drawn", {})
    )
    return CompletionRequest(prompt=more.pop("prompt", "text"), sampling=sampling, n=n, **more)


async def ask(url: str, *requests: CompletionRequest) -> list[CompletionResult]:
    client = LlamaClient(url, patience_s=0.2)
    try:
        return list(await asyncio.gather(*(client.complete(each) for each in requests)))
    finally:
        await client.aclose()


async def test_the_pool_gives_what_the_server_gives_and_draws_each_choice_once(
    model: ScriptedModel, tmp_path: Path
) -> None:
    async with served(model.app()) as upstream:
        (direct,) = await ask(upstream, request(n=3))
        model.bodies.clear()
        async with SamplePool(tmp_path / "pool", upstream) as pool:
            (first,) = await ask(pool.url, request(n=3))
            (again,) = await ask(pool.url, request(n=3))
            (middle,) = await ask(pool.url, request(seed=8))
            assert (pool.drawn, pool.recorded) == (3, 4)
        async with SamplePool(tmp_path / "pool", upstream) as pool:
            (later,) = await ask(pool.url, request(n=4))  # three of them are there
            assert (pool.drawn, pool.recorded) == (1, 3)
    assert first == direct.model_copy(update={"server": first.server}), "the pool is where the answer is from"
    assert (again.choices, again.server_s) == (direct.choices, direct.server_s)
    assert (first.slot, again.slot) == (2, None)  # the record's slot is not this server's
    assert middle.choices[0].text == direct.choices[1].text
    assert later.choices[:3] == direct.choices
    assert [(body["seed"], body["n_cmpl"]) for body in model.bodies] == [(7, 3), (10, 1)]
    facts = read_model_facts(tmp_path / "pool")
    assert facts is not None
    assert (facts.model, facts.context_tokens) == ("scripted", 100_000)


async def test_equal_calls_at_once_are_drawn_once(model: ScriptedModel, tmp_path: Path) -> None:
    model.go.clear()
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        asking = asyncio.ensure_future(ask(pool.url, request(n=2), request(seed=8), request(n=2)))
        await asyncio.sleep(0.3)  # all of them have asked
        model.go.set()
        first, second, third = await asking
        assert pool.drawn == 2
    assert first.choices == third.choices
    assert second.choices[0].text == first.choices[1].text


async def test_what_decides_the_text_is_drawn_anew(model: ScriptedModel, tmp_path: Path) -> None:
    different = [
        request(seed=9),
        request(prompt="other"),
        request(temperature=0.5),
        request(drawn={"top_k": 10}),
        request(json_schema={"type": "object"}),
        request(stop=("never",)),
    ]
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        await ask(pool.url, request())
        await ask(pool.url, *different)
        assert pool.drawn == 1 + len(different)
        await ask(pool.url, *different, request(task="another"), request(max_tokens=400))
        assert pool.drawn == 1 + len(different)


async def test_without_temperature_the_seed_decides_nothing(model: ScriptedModel, tmp_path: Path) -> None:
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        (one,) = await ask(pool.url, request(temperature=0, n=2))
        (two,) = await ask(pool.url, request(temperature=0, seed=99))
        assert pool.drawn == 1
    assert one.choices[0].text == one.choices[1].text == two.choices[0].text


async def test_a_shorter_answer_is_cut_from_a_longer_one_and_a_longer_one_is_drawn(
    model: ScriptedModel, tmp_path: Path
) -> None:
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        whole, direct = (await ask(pool.url, request()))[0], (await ask(upstream, request(max_tokens=4)))[0]
        (cut,) = await ask(pool.url, request(max_tokens=4))
        assert pool.drawn == 1
        await ask(pool.url, request(seed=1, max_tokens=3))
        (longer,) = await ask(pool.url, request(seed=1, max_tokens=6))
        assert pool.drawn == 3
    assert whole.choices[0].finish == "stop"
    assert cut.choices == direct.choices
    assert cut.choices[0].usage.tokens_out == 4
    assert (longer.choices[0].finish, longer.choices[0].usage.tokens_out) == ("length", 6)


async def test_a_client_that_leaves_frees_the_upstream_unless_another_waits(
    model: ScriptedModel, tmp_path: Path
) -> None:
    model.go.clear()
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        staying = asyncio.ensure_future(ask(pool.url, request()))
        leaving = asyncio.ensure_future(ask(pool.url, request()))
        await asyncio.sleep(0.2)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0.2)
        assert not model.left.is_set()
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
        await asyncio.wait_for(model.left.wait(), 5)
        model.go.set()
        (result,) = await ask(pool.url, request())
    assert result.choices[0].finish == "stop"


async def test_errors_of_the_upstream_are_passed_on_and_nothing_is_recorded(
    model: ScriptedModel, tmp_path: Path
) -> None:
    model.refuse = 400
    async with served(model.app()) as upstream, SamplePool(tmp_path, upstream) as pool:
        with pytest.raises(ModelServerError, match="answers 400") as refused:
            await ask(pool.url, request())
        assert not refused.value.retryable
        model.refuse = None
        assert (await ask(pool.url, request()))[0].choices[0].finish == "stop"


async def test_a_pool_belongs_to_one_model_and_one_program(model: ScriptedModel, tmp_path: Path) -> None:
    async with served(model.app()) as upstream:
        async with SamplePool(tmp_path, upstream):
            with pytest.raises(Conflict, match="another program"):
                await SamplePool(tmp_path, upstream).__aenter__()
        facts = read_model_facts(tmp_path)
        assert facts is not None
        older = facts.model_copy(update={"build": "b0", "span_n_embd": 9})
        (tmp_path / MODEL).write_text(older.model_dump_json())
        async with SamplePool(tmp_path, upstream):  # another build of the same server goes on with it
            now = read_model_facts(tmp_path)
            assert now is not None
            assert (now.build, now.span_n_embd) == (facts.build, None)
        model.context = 4096
        with pytest.raises(Conflict, match="context_tokens was 100000, is 4096"):
            await SamplePool(tmp_path, upstream).__aenter__()
