"""LlamaFleet against scripted servers: where tasks go, who is left out, what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from atlas import llama_fleet
from atlas.contracts import SamplingParams
from atlas.errors import ModelServerError
from atlas.llama import CompletionRequest, LlamaClient
from atlas.llama_fleet import LlamaFleet, connect_model
from tests.atlas.scripted_llama import Connection, Scripted, hang_up, last, part, props, streaming


class Server(Scripted):
    """A scripted llama-server that can die, come back at its address, and serve other weights."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(props(**facts))
        self.parameters = 7
        self.whole = streaming(part("a", 1), last(1))
        self.script = self._play
        self.listening: asyncio.Server | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.in_hand = 0

    async def _play(self, connection: Connection) -> None:
        if connection.path == "/health":
            await connection.answer(200, {"status": "ok"})
        elif connection.path == "/v1/models":
            await connection.answer(200, {"data": [{"meta": {"n_params": self.parameters}}]})
        else:
            self.in_hand += 1
            await self.hold.wait()
            await self.whole(connection)
            self.in_hand -= 1

    async def start(self) -> None:
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        self.listening = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self.listening.sockets[0].getsockname()[1]}"

    def die(self) -> None:
        assert self.listening is not None
        self.listening.close()

    @property
    def name(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def completions(self) -> int:
        return self.paths.count("/completion")


@asynccontextmanager
async def fleet_of(*servers: Server) -> AsyncIterator[LlamaFleet]:
    async with AsyncExitStack() as stack:
        for server in servers:
            await server.start()
            stack.callback(server.die)
        fleet = LlamaFleet([server.url for server in servers], patience_s=0.5)
        stack.push_async_callback(fleet.aclose)
        yield fleet


def asked(task: str | None = "t", **more: Any) -> CompletionRequest:
    sampling = SamplingParams(temperature=0, max_tokens=8, seed=0)
    return CompletionRequest(prompt="p", sampling=sampling, task=task, **more)


async def test_one_address_is_an_ordinary_client() -> None:
    one, two = connect_model(["http://a"]), connect_model(["http://a", "http://b"])
    assert (type(one), type(two)) == (LlamaClient, LlamaFleet)
    await one.aclose()
    await two.aclose()


async def test_tasks_spread_and_each_stays_where_it_is() -> None:
    servers = [Server(), Server(), Server()]
    async with fleet_of(*servers) as fleet, fleet_of() as other:
        other._members = [llama_fleet._Member(LlamaClient(s.url)) for s in reversed(servers)]
        where: Counter[str | None] = Counter()
        for number in range(30):
            first = await fleet.complete(asked(f"task {number}"))
            assert (await fleet.complete(asked(f"task {number}"))).server == first.server
            assert (await other.complete(asked(f"task {number}"))).server == first.server, (
                "wherever it is asked"
            )
            where[first.server] += 1
        assert set(where) == {server.name for server in servers}
        assert max(where.values()) < 20


async def test_the_holder_of_the_prefix_is_preferred() -> None:
    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        for holder in servers:
            assert (await fleet.complete(asked("any", server=holder.name))).server == holder.name
        gone = await fleet.complete(asked("any", server="gone:1"))
        assert gone.server == (await fleet.complete(asked("any"))).server, "as if it had had none"


async def test_a_task_that_finds_its_server_full_begins_at_one_with_a_free_slot() -> None:
    servers = [Server(total_slots=2), Server(total_slots=2)]
    for server in servers:
        server.hold.clear()
    async with fleet_of(*servers) as fleet:
        calls = [asyncio.create_task(fleet.complete(asked("one task"))) for _ in range(4)]
        while sum(server.in_hand for server in servers) < 4:  # noqa: ASYNC110 - sockets offer no event
            await asyncio.sleep(0.01)
        assert [server.in_hand for server in servers] == [2, 2]
        for server in servers:
            server.hold.set()
        await asyncio.gather(*calls)


async def test_a_server_that_dies_is_left_out_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_fleet, "PROBE_S", 0.02)
    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        first = await fleet.complete(asked())
        held, spare = sorted(servers, key=lambda server: server.name != first.server)
        held.die()
        again = await fleet.complete(asked(server=first.server))
        assert again.server == spare.name
        assert llama_fleet.UP.labels(held.name)._value.get() == 0
        assert await fleet.ready() is None, "one is enough"
        await held.start()
        while llama_fleet.UP.labels(held.name)._value.get() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await fleet.complete(asked("x", server=held.name))).server == held.name


async def test_a_call_that_has_drawn_nothing_moves_and_one_that_has_fails() -> None:
    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        servers[0].whole = hang_up
        answer = await fleet.complete(asked(server=servers[0].name))
        assert answer.server == servers[1].name

    async def break_off(connection: Connection) -> None:
        await connection.begin()
        await connection.send(part("a", 1))
        connection.writer.transport.abort()

    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        servers[0].whole = break_off
        with pytest.raises(ModelServerError) as caught:
            await fleet.complete(asked(server=servers[0].name))
        assert caught.value.retryable, "the worker asks again, and counts what was lost"
        assert servers[1].completions == 0


async def test_none_left_is_a_failure_to_wait_for() -> None:
    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        for server in servers:
            server.die()
        with pytest.raises(ModelServerError) as caught:
            await fleet.complete(asked())
        assert caught.value.retryable
        problem = await fleet.ready()
        assert problem is not None
        assert all(server.url in problem for server in servers)


async def test_other_weights_stop_everything_until_they_are_mended() -> None:
    servers = [Server(), Server()]
    servers[1].parameters = 8
    async with fleet_of(*servers) as fleet:
        for _ in range(2):
            with pytest.raises(ModelServerError, match="must serve the same weights") as caught:
                await fleet.complete(asked())
            assert caught.value.retryable
        assert all(server.name in str(caught.value) for server in servers)
        assert str(caught.value) == await fleet.ready()
        assert [server.completions for server in servers] == [0, 0]
        servers[1].parameters = 7
        assert await fleet.ready() is None
        await fleet.complete(asked())


async def test_weights_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [Server(), Server()]
    async with fleet_of(*servers) as fleet:
        await fleet.complete(asked())
        servers[0].parameters = 8
        await fleet.complete(asked())
        monkeypatch.setattr(llama_fleet, "TRUST_S", 0)
        with pytest.raises(ModelServerError, match="must serve the same weights"):
            await fleet.complete(asked())
