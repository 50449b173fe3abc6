"""`atlas serve` and `atlas worker`: what they join, and what they say when there is nothing to join."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atlas import cli_services
from atlas.cli import app
from atlas.cli_services import joined
from atlas.config import Settings
from atlas.embedded.own_stack import free_ports
from atlas.errors import StartupError


def told(data_dir: Path, **more: str) -> None:
    """A stack.json as a stack in this very process would write it."""
    (data_dir / "run").mkdir(parents=True)
    urls = {"redis_url": "unix:///r", "llama_url": "http://l", "executor_url": "unix:/e"}
    stack = {"pid": os.getpid(), "gateway_url": "http://g", **urls, **more}
    (data_dir / "run" / "stack.json").write_text(json.dumps(stack))


def test_a_worker_joins_the_stack_that_runs_on_its_data_dir(tmp_path: Path) -> None:
    told(tmp_path)
    found = joined(Settings(data_dir=tmp_path))
    assert (found.redis_url, found.llama_url, found.executor_url) == ("unix:///r", "http://l", "unix:/e")
    own = joined(Settings(data_dir=tmp_path, llama_url="http://other"))
    assert (own.redis_url, own.llama_url) == ("unix:///r", "http://other")


def test_a_worker_of_another_stack_takes_nothing_from_this_one(tmp_path: Path) -> None:
    told(tmp_path)
    settings = Settings(data_dir=tmp_path, redis_url="redis://elsewhere:6379")
    assert joined(settings) == settings


def test_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"start one with `atlas up`, or set REDIS_URL"):
        joined(Settings(data_dir=tmp_path))
    settings = Settings(data_dir=tmp_path, redis_url="redis://r")
    assert joined(settings) == settings
    told(tmp_path, pid="4194303")  # what a killed stack leaves behind: its process is gone
    with pytest.raises(StartupError):
        joined(Settings(data_dir=tmp_path))


def test_what_a_service_lacks_and_a_taken_port_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["worker", "planner"])
    assert (result.exit_code, "atlas up" in result.output) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("ATLAS_PORT", str(taken.getsockname()[1]))
        result = CliRunner().invoke(app, ["serve", "gateway"])
    assert result.exit_code == 1
    assert "gateway cannot listen on 127.0.0.1" in result.output


def test_only_services_have_workers() -> None:
    assert CliRunner().invoke(app, ["worker", "gateway"]).exit_code == 2


def test_a_service_listens_where_it_is_told_and_the_gateway_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, str]] = []

    async def served(settings: Settings, name: str, listener: socket.socket) -> None:
        seen.append((name, listener.getsockname()[0], settings.host))

    monkeypatch.setattr(cli_services, "_serve", served)
    monkeypatch.setenv("ATLAS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ATLAS_PORT", str(free_ports()))
    for arguments in (
        ["gateway"],
        ["planner"],
        ["gateway", "--host", "0.0.0.0"],
        ["lens", "--host", "0.0.0.0"],
    ):
        result = CliRunner().invoke(app, ["serve", *arguments])
        assert result.exit_code == 0, result.output
    assert seen == [
        ("gateway", "127.0.0.1", "127.0.0.1"),
        ("planner", "127.0.0.1", "127.0.0.1"),
        ("gateway", "0.0.0.0", "0.0.0.0"),  # so that whoever comes needs a key
        ("lens", "0.0.0.0", "127.0.0.1"),
    ]
