"""Each service starts alone from its environment, and says what it is missing. Real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

NEEDS = {
    "gateway": ("REDIS_URL", "LLAMA_URL"),
    "planner": ("REDIS_URL", "LLAMA_URL"),
    "lens": ("REDIS_URL", "LLAMA_URL"),
    "sandbox": ("REDIS_URL", "EXECUTOR_URL"),
    "repair": ("REDIS_URL",),
}


def start(service: str, cwd: Path, values: dict[str, str]) -> subprocess.Popen[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    environ |= {f"ATLAS_{key}": value for key, value in values.items()}
    command = [sys.executable, "-m", "uvicorn", f"services.{service}.app:app", "--port", "0"]
    return subprocess.Popen(command, cwd=cwd, env=environ, stderr=subprocess.PIPE, text=True)


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    log = ""
    for line in process.stderr:
        log += line
        if found := re.search(r"running on (http://\S+)", line):
            return found[1]
    raise AssertionError(f"it did not start:\n{log}")


@pytest.mark.integration
def test_each_service_starts_alone_or_says_what_is_missing(redis_url: str, tmp_path: Path) -> None:
    """All at once, because each spends a second importing."""
    nowhere = "http://127.0.0.1:9"
    values = {"REDIS_URL": redis_url, "LLAMA_URL": nowhere, "EXECUTOR_URL": nowhere}
    started = {service: start(service, tmp_path, values) for service in NEEDS}
    lacking = {
        (service, key): start(service, tmp_path, {k: v for k, v in values.items() if k != key})
        for service, keys in NEEDS.items()
        for key in keys
    }
    try:
        for (service, key), process in lacking.items():
            _, log = process.communicate(timeout=60)
            assert process.returncode not in (0, None), f"{service} without {key}"
            assert f"{key} is not set: set it in atlas.conf or as ATLAS_{key}" in log, f"{service}: {log}"
        for service, process in started.items():
            url = address(process)
            assert httpx.get(f"{url}/healthz").json() == {"status": "ok", "service": service}
            unready = httpx.get(f"{url}/readyz").json()["problems"]
            # What is needed is asked for, and told while it is away; Redis is there.
            assert set(unready) <= {"llama-server", "executor"}
            assert ("llama-server" in unready) >= ("LLAMA_URL" in NEEDS[service])
            assert ("executor" in unready) == ("EXECUTOR_URL" in NEEDS[service])
            process.terminate()
        for process in started.values():
            process.communicate(timeout=20)
    finally:
        for process in [*started.values(), *lacking.values()]:
            process.kill()
            process.communicate()
