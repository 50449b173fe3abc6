"""Shared by the tests of embedded servers: small settings, and what became of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from atlas.config import Settings


def eventually(check: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def settings_for(tmp_path: Path, **more: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, "context_tokens": 2048, "threads": 1, **more})
