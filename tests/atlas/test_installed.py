"""An installed stack is found by those who ask for none by name, and its key stays with its owner."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from atlas.config import Settings
from atlas.embedded.own_stack import free_ports, reach
from atlas.errors import StartupError
from atlas.installed import InstalledStack, find, forget, gateway_of, write

STACK = InstalledStack(
    gateway_url="http://127.0.0.1:30840", api_key="atlas_k", kubeconfig="/etc/k", namespace="atlas"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_it_is_found_where_it_was_written_and_only_the_owner_reads_it(settings: Settings) -> None:
    assert find(settings.run_dir) is None
    path = write(settings.run_dir, STACK, owner=(os.getuid(), os.getgid()))
    write(settings.run_dir, STACK)
    assert find(settings.run_dir) == STACK
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["installed.json"]
    forget(settings.run_dir)
    forget(settings.run_dir)
    assert find(settings.run_dir) is None


def test_a_damaged_file_is_as_good_as_none(settings: Settings) -> None:
    write(settings.run_dir, STACK).write_text("{")
    assert find(settings.run_dir) is None


def test_the_installed_gateway_is_meant_where_none_is_named(settings: Settings) -> None:
    assert gateway_of(settings) == (settings.gateway_url, None)
    write(settings.run_dir, STACK)
    assert gateway_of(settings) == (STACK.gateway_url, "atlas_k")
    own = settings.model_copy(update={"api_key": "atlas_mine"})
    assert gateway_of(own) == (STACK.gateway_url, "atlas_mine")
    assert gateway_of(settings, STACK.gateway_url + "/") == (STACK.gateway_url + "/", "atlas_k")


def test_the_key_goes_nowhere_else(settings: Settings) -> None:
    write(settings.run_dir, STACK)
    assert gateway_of(settings, "http://elsewhere:30840") == ("http://elsewhere:30840", None)


def test_a_stack_that_runs_here_goes_first(settings: Settings) -> None:
    write(settings.run_dir, STACK)
    running = {"pid": os.getpid(), "gateway_url": settings.gateway_url}
    (settings.run_dir / "stack.json").write_text(json.dumps(running))
    assert gateway_of(settings) == (settings.gateway_url, None)


async def test_no_other_stack_is_started_in_place_of_the_installed_one(settings: Settings) -> None:
    write(settings.run_dir, STACK.model_copy(update={"gateway_url": f"http://127.0.0.1:{free_ports(1)}"}))
    with pytest.raises(StartupError, match=r"does not answer .*verify-install\.sh"):
        async with reach(settings, Console(file=io.StringIO())):
            pass
