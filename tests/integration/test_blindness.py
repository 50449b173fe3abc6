"""Promise 1: what decides the score never reaches what produces the answer. A real solve, with canaries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from canary import contains
from recording_proxy import RecordingProxy

from tests.support.stack_process import running

pytestmark = pytest.mark.integration
PUBLIC = "canary-public-51d8e0aa"
HIDDEN_INPUT = "canary-hidden-input-9b27c4f1"
HIDDEN_OUTPUT = "canary-hidden-output-e6603d7c"


def dataset(path: Path) -> Path:
    """One easy stdin task whose hidden test carries the canaries."""
    row = {
        "question_id": "canary",
        "platform": "atlas",
        "title": "Echo",
        "question_content": "Read one line and print it.",
        "starter_code": "",
        "difficulty": "easy",
        "contest_date": "2026-01-01T00:00:00",
        "public_tests": [{"input": PUBLIC, "output": PUBLIC, "testtype": "stdin"}],
        "private_tests": [{"input": HIDDEN_INPUT, "output": HIDDEN_OUTPUT, "testtype": "stdin"}],
        "metadata": {},
    }
    path.write_text(json.dumps(row) + "\n")
    return path


def everything_in(url: str) -> bytes:
    """Every key and value of a Redis, whatever its type."""
    parts: list[bytes] = []
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            value = {
                b"string": lambda k: client.get(k),
                b"stream": lambda k: [client.xrange(k), client.xinfo_groups(k)],
                b"set": lambda k: client.smembers(k),
                b"zset": lambda k: client.zrange(k, 0, -1, withscores=True),
                b"hash": lambda k: client.hgetall(k),
                b"list": lambda k: client.lrange(k, 0, -1),
            }[kind](key)
            parts += [key, *_flat(value)]
    return b"\n".join(parts)


def _flat(value: object) -> list[bytes]:
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, dict):
        return [part for item in value.items() for part in _flat(list(item))]
    if isinstance(value, (list, tuple, set)):
        return [part for item in value for part in _flat(item)]
    return [str(value).encode()]


# Samples; and plans, brute-force programs and repairs. (No named policy asks the model for inputs.)
@pytest.mark.parametrize("condition", ["full", "self-tests"])
def test_hidden_tests_reach_nothing_that_solves(
    condition: str, tmp_path: Path, redis_url: str, llama_url: str, redis_server_url: str
) -> None:
    with RecordingProxy(llama_url).serving() as proxy:
        with running(tmp_path, REDIS_URL=redis_url, LLAMA_URL=proxy.url, TASK_DEADLINE_SECONDS=25) as stack:
            command = [sys.executable, "-m", "benchmark.v3_runner", "--target", stack.url, "--json"]
            command += ["--dataset", str(dataset(tmp_path / "tasks.jsonl")), "--condition", condition]
            ran = subprocess.run(
                [*command, "--runs-dir", str(tmp_path / "runs")],
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
            journals = b"\n".join(p.read_bytes() for p in (tmp_path / "runs").rglob("journals/*.jsonl"))
            redis_bytes = everything_in(redis_url)
        places = {
            "Redis, all keys": redis_bytes,
            "Redis's own files": _files(Path(redis_server_url.removeprefix("unix://")).parent),
            "requests to llama-server": b"\n".join(proxy.requests),
            "journals": journals,
            "the stack's logs": stack.log.read_bytes() + _files(stack.data_dir),
        }
    assert json.loads(ran.stdout.splitlines()[-1])["n"] == 1, "the hidden test was graded"
    for place, data in places.items():
        assert not contains(data, HIDDEN_INPUT), place
        assert not contains(data, HIDDEN_OUTPUT), place
    for place in ("Redis, all keys", "Redis's own files", "requests to llama-server", "journals"):
        assert contains(places[place], PUBLIC), f"the search must find the public example in: {place}"


def _files(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
