from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from runner_bench import four_problems, hasten, two_is_wrong

from atlas.errors import BadInput, StartupError
from benchmark import v3_runner
from benchmark.scoring import given_executor
from tests.support.scripted_gateway import ScriptedGateway

hasty = pytest.fixture(autouse=True)(hasten)
dataset = pytest.fixture(four_problems)
scripted = pytest.fixture(two_is_wrong)
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_executor, "POLL_S", 0.01)


async def test_it_is_waited_for(tmp_path: Path) -> None:
    answers = [BUSY, BUSY, response('{"isolation": "pod"}')]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()
        await writer.wait_closed()

    path = tmp_path / "executor.sock"
    server = await asyncio.start_unix_server(answer, path)
    async with server, given_executor.given_executor(f"unix:{path}") as executor:
        assert executor.isolation == "pod"
    assert answers == []


async def test_one_that_never_comes_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        StartupError, match=r"not ready after 0 s: cannot reach executor .*--grading-executor"
    ):
        async with given_executor.given_executor(f"unix:{tmp_path}/none.sock", patience_s=0.05):
            pass


@pytest.mark.parametrize("url", ["/run/executor.sock", "unix:relative.sock", "ftp://host"])
async def test_an_address_is_told_from_something_else(url: str) -> None:
    with pytest.raises(BadInput, match="no address of an executor"):
        async with given_executor.given_executor(url):
            pass


def test_the_runner_grades_on_the_one_it_was_given(
    dataset: Path, tmp_path: Path, scripted: ScriptedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted.served() as url:
        where = ["--dataset", str(dataset), "--target", url, "--runs-dir", str(tmp_path / "runs")]
        assert v3_runner.main([*where, "--grading-executor", "nowhere"]) == 1
    assert "'nowhere' is no address of an executor" in capsys.readouterr().err


def response(body: str) -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
