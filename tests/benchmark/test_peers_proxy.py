"""The proxy in front of the model server: every choice counted, every call cut, none beyond the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import BudgetSpent
from benchmark.peers.ledger import Completion, Ledger, PeerCall
from benchmark.peers.proxy import MeteringProxy
from tests.benchmark.peers_bench import ScriptedLlama

Chat = Callable[..., Awaitable[httpx.Response]]


async def with_proxy(llama: ScriptedLlama, ledger: Ledger, work: Callable[[Chat], Awaitable[Any]]) -> Any:
    async with (
        MeteringProxy("http://llama", transport=llama.transport()) as proxy,
        proxy.metered(ledger, seed=100) as url,
        httpx.AsyncClient(base_url=url, verify=False) as client,
    ):

        async def chat(**body: object) -> httpx.Response:
            return await client.post("/chat/completions", json={"messages": [], **body})

        return await work(chat)


async def test_each_choice_is_counted_though_the_server_counts_one() -> None:
    llama, ledger = ScriptedLlama(["a b c", "a", "a b c d e f"]), Ledger(100)
    answer = await with_proxy(llama, ledger, lambda chat: chat(n=3, max_tokens=5))
    # 3 words and an end; 1 and an end; the third was cut at its 5 tokens.
    assert [choice.tokens for choice in ledger.calls[0].completions] == [4, 2, 5]
    assert [choice.finish for choice in ledger.calls[0].completions] == ["stop", "stop", "length"]
    assert answer.json()["usage"] == {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}
    assert (ledger.spent, ledger.left, ledger.usage.tokens_in) == (11, 89, 7)


async def test_calls_are_cut_to_what_is_left_and_then_refused() -> None:
    llama, ledger = ScriptedLlama(["a b c d e f g h i j"]), Ledger(20)

    async def work(chat: Chat) -> list[httpx.Response]:
        return [await chat(n=3), await chat(max_tokens=1), await chat(), await chat()]

    answers = await with_proxy(llama, ledger, work)
    assert [chat["max_tokens"] for chat in llama.chats] == [6, 1, 1]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 403]
    assert answers[-1].json()["error"]["code"] == "token_budget_spent"
    assert (ledger.spent, ledger.left, ledger.refusals) == (20, 0, 1)


async def test_calls_at_once_cannot_spend_the_same_tokens_twice() -> None:
    llama, ledger = ScriptedLlama(["a " * 50]), Ledger(20)

    async def work(chat: Chat) -> list[httpx.Response]:
        return await asyncio.gather(*(chat(max_tokens=15) for _ in range(4)))

    answers = await with_proxy(llama, ledger, work)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 403, 403]
    assert ledger.spent == 20


async def test_what_the_peer_leaves_open_is_settled_the_same_for_every_run() -> None:
    llama, ledger = ScriptedLlama(["a"]), Ledger(100)

    async def work(chat: Chat) -> None:
        await chat(max_completion_tokens=9, temperature=1)
        await chat(seed=5, max_tokens=None)

    await with_proxy(llama, ledger, work)
    first, second = llama.chats
    assert (first["seed"], first["max_tokens"], first["n"], first["temperature"]) == (100, 9, 1, 1)
    assert (second["seed"], second["max_tokens"]) == (5, 98)
    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    assert "max_completion_tokens" not in first


@pytest.mark.parametrize(
    "body", [{"stream": True}, {"n": 0}, {"n": "3"}, {"n": 65}, {"max_tokens": 0}, {"max_tokens": 1.5}]
)
async def test_a_bad_request_is_refused_and_costs_nothing(body: dict[str, object]) -> None:
    llama, ledger = ScriptedLlama(["a"]), Ledger(100)
    answer = await with_proxy(llama, ledger, lambda chat: chat(**body))
    assert (answer.status_code, ledger.spent, ledger.trouble, llama.chats) == (400, 0, None, [])


async def test_a_refusal_of_the_server_is_the_peers_a_failure_is_not() -> None:
    ledger = Ledger(100)
    answer = await with_proxy(ScriptedLlama(["a"], fails=(0, 400)), ledger, lambda chat: chat())
    assert (answer.status_code, ledger.trouble) == (400, None)
    answer = await with_proxy(ScriptedLlama(["a"], fails=(0, 503)), ledger, lambda chat: chat())
    assert answer.status_code == 502
    assert ledger.trouble == "llama-server /v1/chat/completions answers 503: no"


async def test_calls_end_with_their_task() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with (
        MeteringProxy("http://llama", transport=httpx.MockTransport(slow)) as proxy,
        httpx.AsyncClient(verify=False) as client,
    ):
        async with proxy.metered(Ledger(10), seed=0) as url:
            asked = asyncio.ensure_future(client.post(f"{url}/chat/completions", json={"messages": []}))
            await begun.wait()
        assert cancelled.is_set()
        assert (await asked).status_code == 410
        assert (await client.post(f"{url}/chat/completions", json={"messages": []})).status_code == 404


@given(
    budget=st.integers(1, 500),
    calls=st.lists(st.tuples(st.integers(1, 8), st.one_of(st.none(), st.integers(1, 300)), st.data())),
)
def test_no_ledger_is_ever_overspent(budget: int, calls: list[tuple[int, int | None, st.DataObject]]) -> None:
    ledger = Ledger(budget)
    for n, wanted, data in calls:
        try:
            granted = ledger.grant(n, wanted)
        except BudgetSpent:
            assert ledger.left < n
            continue
        assert 1 <= granted <= (wanted or budget)
        used = [data.draw(st.integers(0, granted)) for _ in range(n)]
        ledger.calls.append(
            PeerCall(
                max_tokens=granted,
                tokens_in=1,
                tokens_cached=0,
                seconds=0.0,
                completions=tuple(Completion(text="", finish="stop", tokens=tokens) for tokens in used),
            )
        )
    assert ledger.spent + ledger.left == budget
